import pytest
import torch

from lit_unlearn import InputError, SimNPO
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import log_sigmoid, nll

BETA, MARGIN = 0.7, 0.4


def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    margins = [BETA * nll(updated, batch, row, mean=True) - MARGIN for row in range(4)]
    expected = torch.tensor([-2 / BETA * log_sigmoid(margin) for margin in margins], dtype=torch.float64)
    torch.testing.assert_close(SimNPO(BETA, MARGIN)(updated, None, batch), expected, rtol=0, atol=1e-6)


def test_the_margin_is_not_multiplied_by_beta(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    rows = SimNPO(beta=1e-6, margin=2.0)(updated, None, batch) * 1e-6 / 2
    torch.testing.assert_close(rows, torch.full((4,), -log_sigmoid(-2.0)).double(), rtol=0, atol=1e-4)


def test_beta_is_above_zero() -> None:
    with pytest.raises(InputError, match=r"^model\.forget\.beta: 0 is not an inverse temperature"):
        SimNPO(0)
