import torch

from lit_unlearn import GradientAscent, Relearning
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import nll


def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    expected = torch.tensor([nll(updated, batch, row, mean=True) for row in range(4)], dtype=torch.float64)
    torch.testing.assert_close(Relearning()(updated, None, batch), expected, rtol=0, atol=1e-6)


def test_it_takes_back_what_gradient_ascent_does(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    assert torch.equal(Relearning()(updated, None, batch), -GradientAscent()(updated, None, batch))
