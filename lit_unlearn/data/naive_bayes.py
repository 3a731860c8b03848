"""Which stream a row's tokens are from: naive Bayes on token counts, out of fold. Pure functions."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FOLDS = 10
_SMOOTHING = 0.5
"""What is added to each count (Jeffreys)."""


class TokenRows(NamedTuple):
    """The tokens of rows, one after another."""

    tokens: Tensor
    """int64 `[tokens]`, numbered from 0 without gaps."""
    lengths: Tensor
    """How many of them each row has, int64 `[rows]`."""


def token_rows(rows: Sequence[Sequence[int]], special: Collection[int]) -> TokenRows:
    """The tokens of rows, special ones left out.

    Args:
        rows: token ids of each.
        special: ids that do not count.

    Example:
        >>> token_rows([[1, 7, 9], [1, 9]], {1})
        TokenRows(tokens=tensor([0, 1, 1]), lengths=tensor([2, 1]))
    """
    counted = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    place = torch.repeat_interleave(torch.tensor([len(row) for row in rows], dtype=torch.int64))
    kept = ~torch.isin(counted, torch.tensor(sorted(special), dtype=torch.int64))
    lengths = place[kept].bincount(minlength=len(rows))
    return TokenRows(counted[kept].unique(return_inverse=True)[1], lengths)


def row_keys(rows: Sequence[Sequence[int]], purpose: str) -> Tensor:
    """A pseudo-random number of each row, a pure function of its tokens and the purpose: int64 `[rows]`, 0 or more.

    Args:
        rows: token ids of each.
        purpose: what the numbers decide.

    Example:
        >>> keys = row_keys([[1, 7], [1, 9], [1, 7]], "folds")
        >>> bool(keys[0] == keys[2]), bool(keys[0] == keys[1])
        (True, False)
    """
    return torch.tensor([_hashed(row, purpose) for row in rows], dtype=torch.int64)


def folds(rows: Sequence[Sequence[int]]) -> Tensor:
    """The fold of each row, 0 to FOLDS - 1, int64 `[rows]`; equal rows share one, so that none is tested on its copy.

    Args:
        rows: token ids of each.
    """
    return row_keys(rows, "folds") % FOLDS


def out_of_fold(rows: TokenRows, labels: Tensor, fold: Tensor, classes: int) -> Tensor:
    """Mean log-probability of a row's tokens under each class, counted in the rows of the other folds.

    log p(token | class) = log((count + 1/2) / Σ (count + 1/2)); class sizes do not count.

    Args:
        rows: their tokens.
        labels: class of each row, int64 `[rows]`.
        fold: of each row, int64 `[rows]`.
        classes: how many there are.

    Returns:
        float64 `[rows, classes]`; 0 for a row without tokens.

    Example:
        >>> rows = token_rows([[5, 5], [8, 8], [5, 8]], set())
        >>> out_of_fold(rows, torch.tensor([0, 1, 0]), torch.tensor([0, 0, 1]), 2)[2].exp()
        tensor([0.3727, 0.3727], dtype=torch.float64)
    """
    size = int(rows.tokens.max()) + 1 if len(rows.tokens) else 1
    place = torch.repeat_interleave(rows.lengths)
    counts = torch.zeros(FOLDS, classes * size, dtype=torch.float64)
    for one, own, tokens in _of_each_fold(rows.tokens, fold[place]):
        counts[one] = (labels[place[own]] * size + tokens).bincount(minlength=classes * size).double()
    others = (counts.sum(dim=0) - counts).view(FOLDS, classes, size) + _SMOOTHING
    found = torch.zeros(len(rows.lengths), classes, dtype=torch.float64)
    for one, own, tokens in _of_each_fold(rows.tokens, fold[place]):
        likelihood = (others[one] / others[one].sum(dim=1, keepdim=True)).log()
        found.index_add_(0, place[own], likelihood[:, tokens].T)
    return found / rows.lengths.clamp(min=1)[:, None]


def margins(scores: Tensor, labels: Tensor) -> Tensor:
    """How far each row's own class is above the best other one, `[rows]`; below 0 another class is likelier.

    Args:
        scores: `[rows, classes]`.
        labels: class of each row, int64 `[rows]`.

    Example:
        >>> margins(torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([1]))
        tensor([2.])
    """
    own = labels[:, None]
    others = scores.scatter(1, own, -torch.inf).amax(dim=1)
    return scores.gather(1, own)[:, 0] - others


def _of_each_fold(tokens: Tensor, fold: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each fold, where its tokens stand, and these."""
    for one in range(FOLDS):
        own = (fold == one).nonzero()[:, 0]
        yield one, own, tokens[own]


def _hashed(row: Sequence[int], purpose: str) -> int:
    text = " ".join(map(str, (purpose, *row)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big")
