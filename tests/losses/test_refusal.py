import torch
from torch import Tensor

from lit_unlearn import Refusal
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import nll


def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    assert updated.preferred is not None
    looped = [nll(updated.preferred, batch["preferred"], row, mean=True) for row in range(4)]
    expected = torch.tensor(looped, dtype=torch.float64)
    torch.testing.assert_close(Refusal()(updated, None, batch), expected, rtol=0, atol=1e-6)


def test_the_forget_rows_are_not_read(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    other = updated._replace(logits=-updated.logits)
    assert torch.equal(Refusal()(updated, None, batch), Refusal()(other, None, batch))
