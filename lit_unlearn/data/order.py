"""The order of a pass in which rows of similar length are in one batch, so that little is padded."""

import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import Tensor

WINDOW = 50
"""Batches among whose rows those of similar length are put together."""


def lengths(rows: Dataset) -> Tensor:
    """The number of tokens of each row, int64 `[rows]`."""
    found = pc.list_value_length(rows.with_format("arrow")[:]["input_ids"])
    return torch.tensor(found.to_numpy())


def by_length(order: Tensor, length: Tensor, *, batch_size: int, begun: int = 0, window: int = WINDOW) -> Tensor:
    """The same rows in another order: windows of some batches, within each of which batches are of similar length.

    Each window holds the rows that it held before. Its batches come in the order in which the first of their rows was
    drawn, so that lengths neither rise nor fall along a pass.

    Args:
        order: `[rows]`, the rows of a pass, by their numbers.
        length: `[rows]`, tokens of each row, by its number.
        batch_size: rows of a batch.
        begun: rows at the beginning that complete the last pass' last batch; they stay where they are.
        window: batches of a window.

    Example:
        >>> by_length(torch.tensor([0, 1, 2, 3]), torch.tensor([9, 1, 8, 2]), batch_size=2)
        tensor([2, 0, 1, 3])
    """
    return torch.cat(
        [
            order[:begun],
            *(_grouped(part, length[part], batch_size) for part in order[begun:].split(window * batch_size)),
        ]
    )


def _grouped(rows: Tensor, length: Tensor, batch_size: int) -> Tensor:
    """The rows of one window; a batch that is not full stays the last."""
    batches = length.argsort(stable=True).split(batch_size)
    full = sorted((batch for batch in batches if len(batch) == batch_size), key=lambda batch: int(batch.min()))
    return rows[torch.cat([*full, *(batch for batch in batches if len(batch) < batch_size)])]
