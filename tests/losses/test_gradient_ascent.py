import torch

from lit_unlearn import NLL, GradientAscent
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import nll


def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    expected = torch.tensor([-nll(updated, batch, row, mean=True) for row in range(4)], dtype=torch.float64)
    torch.testing.assert_close(GradientAscent()(updated, None, batch), expected, rtol=0, atol=1e-6)


def test_with_the_retain_loss_it_is_the_difference_of_gradients(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    assert torch.equal(GradientAscent()(updated, None, batch) + NLL()(updated, None, batch), torch.zeros(4).double())
