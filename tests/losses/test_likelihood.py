import pytest
import torch

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.likelihood import batch_nll, checked_beta, likelihood_lost
from tests.losses.looping import nll

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
