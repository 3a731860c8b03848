"""Whose neighbours have its own label: nearest rows on mean states, leave-one-out. Pure functions."""

from typing import NamedTuple

import torch
from torch import Tensor

NEIGHBOURS = 15
_CHUNK = 512
"""Rows whose distances to all are in memory together."""
_TIED = 1e-6
"""Squared distances this close, per dimension, are equal: the arithmetic of a batch decides no rank."""


class Neighbours(NamedTuple):
    """Pairs of a row and one near to it."""

    row: Tensor
    """int64 `[pairs]`."""
    other: Tensor
    """int64 `[pairs]`."""
    weight: Tensor
    """float64 `[pairs]`, of each row together 1."""


def nearest(states: Tensor, *, neighbours: int = NEIGHBOURS) -> Neighbours:
    """The nearest other rows of each row; those tied for the last places share them.

    Args:
        states: φ, `[rows, dim]`.
        neighbours: how many of each; all others where there are fewer.
    """
    count = min(neighbours, len(states) - 1)
    squares = states.square().sum(dim=1)
    parts = []
    for begin in range(0, len(states), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        distance = squares[some, None] + squares - 2 * states[some] @ states.T
        distance[torch.arange(len(distance)), torch.arange(begin, begin + len(distance))] = torch.inf
        row, other, weight = _nearest(distance, count, _TIED * states.shape[1])
        parts.append((row + begin, other, weight))
    return Neighbours(*map(torch.cat, zip(*parts, strict=True)))


def own_share(near: Neighbours, labels: Tensor) -> Tensor:
    """The share of a row's nearest that have its own label, float64 `[rows]`.

    Args:
        near: the nearest rows of each.
        labels: class of each row, int64 `[rows]`.

    Example:
        >>> states = torch.tensor([[0.0], [1.0], [2.0], [9.0]]).double()
        >>> own_share(nearest(states, neighbours=2), torch.tensor([0, 0, 1, 1]))
        tensor([0.5000, 0.5000, 0.0000, 0.5000], dtype=torch.float64)
    """
    own = near.weight * (labels[near.row] == labels[near.other])
    return own.new_zeros(len(labels)).index_add_(0, near.row, own)


def _nearest(distance: Tensor, count: int, tied: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows, places of the nearest and their weights."""
    last = distance.topk(count, largest=False).values[:, -1:]
    nearer, equal = distance < last - tied, (distance - last).abs() <= tied
    each = (count - nearer.sum(dim=1)) / equal.sum(dim=1).double()
    row, other = (nearer | equal).nonzero(as_tuple=True)
    return row, other, torch.where(nearer[row, other], 1.0, each[row]) / count
