import pytest
import torch

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.likelihood import (
    batch_nll,
    checked_beta,
    checked_exponent,
    likelihood_lost,
    predicted,
    weighted_ascent,
)
from tests.losses.looping import nll
from tests.losses.plain_torch import predicted_positions

Pairs = tuple[Outputs, Outputs, Batch]


@pytest.mark.parametrize("mean", [False, True])
def test_the_nll_of_a_row_equals_a_loop(pairs: Pairs, mean: bool) -> None:
    updated, _, batch = pairs
    expected = torch.tensor([nll(updated, batch, row, mean=mean) for row in range(4)], dtype=torch.float64)
    torch.testing.assert_close(batch_nll(updated, batch, mean=mean), expected, rtol=0, atol=1e-6)
    assert expected[2] == 0.0  # a row of one token predicts nothing


@pytest.mark.parametrize("mean", [False, True])
def test_the_likelihood_lost_is_that_of_the_updated_model_less_that_of_the_frozen(pairs: Pairs, mean: bool) -> None:
    updated, frozen, batch = pairs
    lost = [nll(updated, batch, row, mean=mean) - nll(frozen, batch, row, mean=mean) for row in range(4)]
    expected = torch.tensor(lost, dtype=torch.float64)
    torch.testing.assert_close(likelihood_lost(updated, frozen, batch, mean=mean), expected, rtol=0, atol=1e-6)
    assert likelihood_lost(frozen, frozen, batch, mean=mean).tolist() == [0.0] * 4


def test_a_beta_above_zero_is_one() -> None:
    assert checked_beta(0.1) == 0.1


@pytest.mark.parametrize("beta", [0.0, -0.1, float("nan"), float("inf")])
def test_another_beta_is_refused(beta: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.forget\.beta: {beta} is not an inverse temperature; give a number"):
        checked_beta(beta)


def test_tokens_are_predicted_where_they_and_the_one_before_are_real_and_they_count(texts_or_answers: Pairs) -> None:
    _, _, batch = texts_or_answers
    labels = predicted(batch)
    for row, own in enumerate(labels):
        places = predicted_positions(batch, row)
        assert (own != -100).nonzero().flatten().tolist() == places
        assert own[places].tolist() == batch["input_ids"][row, places].tolist()


def test_a_weight_of_one_is_gradient_ascent_and_weights_have_no_gradient(pairs: Pairs) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, torch.Tensor)
    leaf = updated.logits.requires_grad_()
    torch.testing.assert_close(weighted_ascent(updated, batch, torch.ones_like), -batch_nll(updated, batch, mean=True))
    seen = list[torch.Tensor]()

    def weight(nll: torch.Tensor) -> torch.Tensor:
        seen.append(nll)
        return nll

    rows = weighted_ascent(updated, batch, weight)
    assert not seen[0].requires_grad
    (gradient,) = torch.autograd.grad(rows.sum(), leaf)
    (twice,) = torch.autograd.grad(weighted_ascent(updated, batch, lambda nll: 2 * nll).sum(), leaf)
    torch.testing.assert_close(twice, 2 * gradient)


def test_an_exponent_from_zero_on_is_one() -> None:
    assert (checked_exponent("exponent", 0.0), checked_exponent("beta1", 5.0)) == (0.0, 5.0)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_another_exponent_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.forget\.beta2: {value} is not an exponent of a weight; give"):
        checked_exponent("beta2", value)
