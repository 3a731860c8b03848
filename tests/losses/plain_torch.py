"""Losses written in plain torch on whole logits, one token after the other, in float64."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_unlearn.losses.contract import Batch, Loss, Outputs

Case = tuple[Outputs, Outputs, Batch]
TokenValue = Callable[[int, int, int], Tensor]
"""Takes a row, the position whose logits predict a token, and the token; returns its value, 0-dimensional."""
WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
"""Of the rows, in the sum whose gradient is compared."""


def predicted_positions(batch: Batch, row: int) -> list[int]:
    """Counted real tokens that a real token precedes."""
    real, counted = batch["attention_mask"][row].tolist(), batch["loss_mask"][row].tolist()
    return [place for place in range(1, len(real)) if real[place - 1] and real[place] and counted[place]]


def mean_over_predicted(batch: Batch, value: TokenValue, *, without_first: int = 0) -> Tensor:
    """The mean of a value over each row's predicted tokens, `[batch]`, 0 for a row that has none.

    Args:
        batch: the rows.
        value: of a token.
        without_first: how many of a row's predicted tokens are left out at its beginning.
    """
    rows = []
    for row in range(len(batch["input_ids"])):
        places = predicted_positions(batch, row)[without_first:]
        values = [value(row, place - 1, int(batch["input_ids"][row, place])) for place in places]
        rows.append(torch.stack(values).mean() if values else torch.zeros((), dtype=torch.float64))
    return torch.stack(rows)


def assert_value_and_gradient(
    loss: Loss, case: Case, golden: Callable[[Tensor], Tensor], *, frozen: bool = False
) -> None:
    """A loss and its gradient with respect to the updated model's logits are those of plain torch.

    Args:
        loss: what is tested.
        case: outputs of both models and their batch.
        golden: takes the updated model's logits, returns the loss of each row.
        frozen: whether the loss reads the frozen model.
    """
    updated, reference, batch = case
    assert isinstance(updated.logits, Tensor)
    leaf = updated.logits.detach().requires_grad_()
    found = loss(updated._replace(logits=leaf), reference if frozen else None, batch)
    expected = golden(leaf)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad((WEIGHTS * rows).sum(), leaf)[0] for rows in (found, expected))
    assert theirs.abs().max() > 1e-4
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
