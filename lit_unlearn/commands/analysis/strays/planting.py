"""Rows that get another class, to measure what finds them. Pure functions."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.data.naive_bayes import row_keys

SHARE = 0.1
"""Of all rows, those that get another class."""
DRAWS = 3
_MOST = 0.25
"""Of a small class, the rows that are added to it, at most: more would change what the class is."""


class Planted(NamedTuple):
    """Labels of which some are wrong."""

    labels: Tensor
    """int64 `[rows]`."""
    wrong: Tensor
    """bool `[rows]`, which are."""


def plant(rows: Sequence[Sequence[int]], labels: Tensor, classes: int, *, draw: int) -> Planted:
    """Gives a tenth of all rows, suspicious ones included, another class: a function of the rows and the draw alone.

    Args:
        rows: token ids of each.
        labels: class of each row, int64 `[rows]`.
        classes: how many there are.
        draw: another choice of rows and classes for each.

    Example:
        >>> found = plant([[word] for word in range(40)], torch.arange(40) % 2, 2, draw=0)
        >>> int(found.wrong.sum()), bool((found.labels != torch.arange(40) % 2).eq(found.wrong).all())
        (4, True)
    """
    order = row_keys(rows, f"planted {draw}").argsort(stable=True)
    chosen = order[: round(SHARE * len(rows))]
    others = (labels + 1 + row_keys(rows, f"class {draw}") % (classes - 1)) % classes
    sizes = labels.bincount(minlength=classes)
    kept = [chosen[others[chosen] == c][: max(1, int(_MOST * sizes[c]))] for c in range(classes)]
    wrong = torch.zeros(len(rows), dtype=torch.bool)
    wrong[torch.cat(kept)] = True
    return Planted(torch.where(wrong, others, labels), wrong)
