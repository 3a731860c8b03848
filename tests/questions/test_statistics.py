"""Statistics against known answers and a plain bootstrap."""

import pytest
import torch
from torch import Tensor, tensor

from lit_unlearn import InputError
from lit_unlearn.questions.statistics import accuracy, drop, flip_rate, recovery_rate


def answers(right: int, total: int = 400) -> Tensor:
    return torch.arange(total) < right


def shuffled(correct: Tensor, seed: int) -> Tensor:
    return correct[torch.randperm(len(correct), generator=torch.Generator().manual_seed(seed))]


def test_accuracy_has_the_standard_error_of_a_share() -> None:
    found = accuracy(answers(100))
    assert found.value == 0.25
    assert found.standard_error == pytest.approx((0.25 * 0.75 / 399) ** 0.5)


def test_one_answer_has_no_standard_error() -> None:
    assert accuracy(tensor([True])) == (1.0, None)


def test_a_drop_is_paired() -> None:
    clean, perturbed = tensor([True, True, False, False]), tensor([True, False, False, True])
    assert drop(clean, clean) == (0.0, 0.0)
    assert drop(clean, perturbed).value == 0.0
    assert drop(clean, perturbed).standard_error == pytest.approx((2 / 3) ** 0.5 / 2)
    assert drop(clean, ~clean & False).value == 0.5


def test_flips_count_changed_predictions_right_or_wrong() -> None:
    assert flip_rate(tensor([0, 1, 2, 3]), tensor([0, 2, 3, 3])).value == 0.5


def test_recovery_is_the_share_that_comes_back() -> None:
    found = recovery_rate(answers(320), answers(160), answers(280))
    assert found is not None
    assert found.value == 0.75
    assert found.low < 0.75 < found.high


def test_recovery_can_be_above_one_or_below_zero() -> None:
    rates = [recovery_rate(answers(320), answers(160), answers(right)) for right in (360, 120)]
    assert [rate and rate.value for rate in rates] == [1.25, -0.25]


def test_the_interval_is_that_of_a_bootstrap_over_questions() -> None:
    base, method, rna = shuffled(answers(300), 1), shuffled(answers(200), 2), shuffled(answers(240), 3)
    rows = torch.randint(400, (4000, 400), generator=torch.Generator().manual_seed(0))
    shares = [correct.double()[rows].mean(dim=1) for correct in (base, method, rna)]
    rates = (shares[2] - shares[1]) / (shares[0] - shares[1])
    found = recovery_rate(base, method, rna)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(rates.quantile(tensor([0.025, 0.975]).double()).tolist(), abs=0.03)


def test_the_interval_over_seeds_is_that_of_a_bootstrap_over_seeds_and_questions() -> None:
    source = torch.Generator().manual_seed(0)
    base = shuffled(answers(380), 1).expand(4, -1)
    method = torch.stack([shuffled(answers(right), right) for right in (150, 200, 220, 250)])
    rna = torch.stack([shuffled(answers(right), right + 1) for right in (240, 230, 300, 290)])
    rates = []
    for _ in range(3000):
        rows = torch.randint(400, (400,), generator=source)
        seeds = torch.randint(4, (4,), generator=source)
        shares = [correct.double()[seeds][:, rows].mean() for correct in (base, method, rna)]
        rates.append((shares[2] - shares[1]) / (shares[0] - shares[1]))
    found = recovery_rate(base, method, rna)
    assert found is not None
    assert found.value == pytest.approx((265 - 205) / (380 - 205))
    expected = torch.stack(rates).quantile(tensor([0.025, 0.975]).double()).tolist()
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)


def test_the_bootstrap_is_seeded_and_leaves_global_generators_alone() -> None:
    sets = shuffled(answers(300), 1), shuffled(answers(200), 2), shuffled(answers(240), 3)
    state = torch.get_rng_state()
    assert recovery_rate(*sets) == recovery_rate(*sets)
    assert recovery_rate(*sets) != recovery_rate(*sets, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", [200, 199, 210])
def test_nothing_clearly_lost_is_not_a_rate(method: int) -> None:
    base = answers(200)
    assert recovery_rate(base, shuffled(answers(method), 2), answers(200)) is None


def test_answers_that_do_not_pair_are_refused() -> None:
    for function in (drop, flip_rate):
        with pytest.raises(InputError, match=r"400 answers against 1; compare answers to the same questions"):
            function(answers(3), tensor([True]))
    with pytest.raises(InputError, match=r"400 answers against 399"):
        recovery_rate(answers(3), answers(3), answers(3, 399))
    with pytest.raises(InputError, match=r"2 × 400 answers against 400;"):
        recovery_rate(answers(3).expand(2, -1), answers(3), answers(3))
    with pytest.raises(InputError, match=r"no answers to average"):
        accuracy(tensor([]).bool())
    with pytest.raises(InputError, match=r"no answers"):
        recovery_rate(*[tensor([]).bool()] * 3)
