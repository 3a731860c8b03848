"""Linear probes: equal to ridge regression written out, blind where there is nothing, not judged by themselves."""

import pytest
import torch
from torch import Tensor

from lit_unlearn import InputError
from lit_unlearn.questions.linear_probe import REGULARISATIONS, _fit, probe


def drawn(questions: int, dim: int, *, signal: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    answer = torch.randint(4, (questions,), generator=source)
    states = torch.randn(questions, dim, generator=source) * 3 + 5
    states[:, :4] += signal * torch.nn.functional.one_hot(answer, 4)
    return states, answer


@pytest.mark.parametrize("dim", [6, 60])
def test_the_closed_form_is_ridge_regression_with_each_question_left_out(dim: int) -> None:
    states, answer = drawn(40, dim, signal=4)
    others, _ = drawn(9, dim, signal=4, seed=1)
    left_out, predicted = _fit(states, answer, others, 4)
    own = (states - states.mean(dim=0)).double() / states.std(dim=0) / dim**0.5
    other = (others - states.mean(dim=0)).double() / states.std(dim=0) / dim**0.5
    target = torch.nn.functional.one_hot(answer, 4).double()

    def ridge(rows: Tensor, wanted: Tensor, asked: Tensor, penalty: float) -> Tensor:
        """By the normal equations over dimensions, the offset not penalised."""
        mean, offset = rows.mean(dim=0), wanted.mean(dim=0)
        gram = (rows - mean).T @ (rows - mean) + penalty * torch.eye(dim, dtype=torch.float64)
        weights = torch.linalg.solve(gram, (rows - mean).T @ (wanted - offset))
        found: Tensor = (asked - mean) @ weights + offset
        return found

    def each_left_out(penalty: float) -> Tensor:
        rest = [[*range(one), *range(one + 1, 40)] for one in range(40)]
        return torch.cat([ridge(own[r], target[r], own[i : i + 1], penalty) for i, r in enumerate(rest)])

    best = min(REGULARISATIONS, key=lambda one: float((each_left_out(one) - target).square().mean()))
    torch.testing.assert_close(left_out, each_left_out(best), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(predicted, ridge(own, target, other, best), rtol=1e-5, atol=1e-5)


def test_a_probe_reads_what_is_there_and_guesses_where_nothing_is() -> None:
    pairs = [drawn(400, 20, signal=one) for one in (0, 12)]
    answer = pairs[0][1]
    assert torch.equal(answer, pairs[1][1])
    found = probe(torch.stack([states for states, _ in pairs]), answer)
    blind, seeing = found.correct.double().mean(dim=1).tolist()
    assert abs(blind - 0.25) < 0.07
    assert seeing > 0.9
    assert torch.equal(found.chosen, found.correct[1])  # the layer with the signal, in every fold


def test_more_dimensions_than_questions_do_not_let_it_judge_itself() -> None:
    states, answer = drawn(60, 500, signal=0)
    layers = torch.stack([states.roll(shift, dims=1) for shift in range(3)])
    assert float(probe(layers, answer).correct.double().mean()) < 0.45


def test_options_that_a_question_does_not_have_are_never_chosen() -> None:
    states, answer = drawn(60, 12, signal=20)
    few = torch.where(answer < 3, 3, 4)
    assert bool(probe(states[None], answer, options=few).correct.all())
    with pytest.raises(InputError, match="probe: 6 questions in 5 folds; give at least 8 questions"):
        probe(states[None, :6], answer[:6])
