"""How far two things go together: correlation, divergence, mutual information; pure functions.

torchmetrics correlates. Its `spearman_corrcoef` adds 1e-6 to the denominator, its Jensen-Shannon divergence does not
say what each value adds, and its mutual information wants labels and counts in float32: these three are computed here.
"""

from typing import NamedTuple

import torch
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.functional.regression import pearson_corrcoef


class Divergence(NamedTuple):
    """A Jensen-Shannon divergence."""

    bits: float
    """0 for equal distributions, 1 for ones that have nothing in common."""
    parts: Tensor
    """What each value adds to it, `[values]`."""


def correlation(first: Tensor, second: Tensor, *, ranks: bool = False) -> float | None:
    """Pearson's correlation, or Spearman's, that of the ranks; None where there are fewer than 3 or all are equal.

    Args:
        first: `[count]`.
        second: `[count]`.
        ranks: correlate ranks.

    Example:
        >>> correlation(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([2.0, 4.0, 5.0]), ranks=True)
        1.0
    """
    pair = [values.double() for values in (first, second)]
    if ranks:
        pair = [torch.from_numpy(rankdata(values)) for values in pair]
    if len(first) < 3 or any(values.min() == values.max() for values in pair):
        return None
    return round(pearson_corrcoef(*pair).item(), 12)


def shown(value: float | None) -> str:
    """A correlation as a table has it."""
    return "n/a" if value is None else f"{value:.2f}"


def jensen_shannon(first: Tensor, second: Tensor) -> Divergence:
    """The Jensen-Shannon divergence of two distributions, in bits.

    It is the mutual information between a value and which of the two, equally likely, it was drawn from:
    Σ (p log₂(p/m) + q log₂(q/m)) / 2 with m = (p + q) / 2.

    Args:
        first: counts `[values]`.
        second: counts `[values]`.

    Example:
        >>> jensen_shannon(torch.tensor([1, 1, 0]), torch.tensor([0, 1, 1])).bits
        0.5
    """
    p, q = (counts.double() / counts.sum() for counts in (first, second))
    mean = (p + q) / 2
    parts = (_information(p, p / mean) + _information(q, q / mean)) / 2
    return Divergence(parts.sum().item(), parts)


def mutual_information(table: Tensor) -> float:
    """The mutual information of two labels, in bits: Σ p(x, y) log₂(p(x, y) / (p(x) p(y))).

    Args:
        table: counts `[values of one, values of the other]`.

    Example:
        >>> mutual_information(torch.tensor([[5, 0], [0, 5]])), mutual_information(torch.tensor([[5, 5], [1, 1]]))
        (1.0, 0.0)
    """
    joint = table.double() / table.sum()
    apart = joint.sum(dim=0, keepdim=True) * joint.sum(dim=1, keepdim=True)
    return _information(joint, joint / apart).sum().item()


def between_centroids(vectors: Tensor, labels: Tensor, asked: Tensor) -> Tensor:
    """Where vectors lie between the means of two groups: -1/2 beside the first's, 1/2 beside the second's, `[asked]`.

    The sign says which of the two means is nearer.

    Args:
        vectors: of the groups, `[count, dim]`.
        labels: bool `[count]`, whether a vector is of the second group.
        asked: `[asked, dim]`.

    Example:
        >>> groups = torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([False, False, True])
        >>> between_centroids(*groups, torch.tensor([[1.0], [5.0], [11.0]]))
        tensor([-0.5000,  0.0000,  0.7500])
    """
    first, second = vectors[~labels].mean(dim=0), vectors[labels].mean(dim=0)
    axis = second - first
    return (asked - (first + second) / 2) @ axis / axis.square().sum().clamp(min=torch.finfo(axis.dtype).tiny)


def _information(share: Tensor, ratio: Tensor) -> Tensor:
    """The product share · log₂(ratio), and 0 where the share is."""
    return torch.where(share > 0, share * ratio.log2(), 0.0)
