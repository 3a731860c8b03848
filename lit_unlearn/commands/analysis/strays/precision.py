"""How well a score finds what it should: precision, recall and average precision. Pure functions."""

from typing import NamedTuple

import torch
from torch import Tensor


class Curve(NamedTuple):
    """Precision and recall of the rows up to each score, lowest first."""

    thresholds: Tensor
    """The distinct scores, ascending, `[scores]`."""
    precision: Tensor
    recall: Tensor


def precision_recall(scores: Tensor, wanted: Tensor) -> Curve:
    """Precision and recall where all rows with at most a score are taken; rows of one score are taken together.

    torchmetrics takes tied rows one after another, so that the order of rows would decide.

    Args:
        scores: low where a row is suspicious, `[rows]`.
        wanted: bool `[rows]`, whether it is to be found.

    Example:
        >>> precision_recall(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([True, False, True])).precision
        tensor([0.5000, 0.6667], dtype=torch.float64)
    """
    thresholds, place = scores.unique(return_inverse=True)
    taken = place.bincount(minlength=len(thresholds)).cumsum(dim=0).double()
    found = place[wanted].bincount(minlength=len(thresholds)).cumsum(dim=0).double()
    return Curve(thresholds, found / taken, found / wanted.sum().clamp(min=1))


def average_precision(scores: Tensor, wanted: Tensor) -> float:
    """The mean precision over what is to be found: Σ precision · Δrecall.

    Scores that say nothing have about the share of what is to be found.

    Args:
        scores: low where a row is suspicious, `[rows]`.
        wanted: bool `[rows]`.

    Example:
        >>> average_precision(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([True, False, True, False]))
        0.8333333333333333
        >>> average_precision(torch.zeros(4), torch.tensor([True, False, False, False]))
        0.25
    """
    curve = precision_recall(scores, wanted)
    gained = curve.recall.diff(prepend=torch.zeros(1, dtype=torch.float64))
    return float((curve.precision * gained).sum())
