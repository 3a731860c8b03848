"""By how much rarer a token is in retain than in forget text: a weight for each token of a forget row."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from datasets import Dataset
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch

_SMOOTHING = 0.5
"""What is added to each count (Jeffreys), as in `naive_bayes`."""
_ROWS = 1000
"""Rows that are counted at once."""


class TokenRarity(NamedTuple):
    """The weights of the tokens of each forget topic."""

    weights: Tensor
    """float32 `[topics, vocab]`, 0 or more."""

    def for_rows(self, forget: Batch) -> Tensor:
        """The weight of each token of a forget batch, float32 `[batch, seq]`."""
        return self.weights[forget["topic"][:, None], forget["input_ids"]]


def token_rarity(forget: Sequence[Dataset], retain: Sequence[Dataset], *, vocabulary: int) -> TokenRarity:
    """max(0, log p(token | topic) - log p(token | retain)), p = (count + 1/2) / Σ (count + 1/2).

    Args:
        forget: the tokenised rows of each topic, column `input_ids`.
        retain: those of the retain streams, which count together.
        vocabulary: how many tokens the tokenizer has.

    Raises:
        InputError: no token of a topic is rarer in retain text.

    Example:
        >>> rows = [Dataset.from_dict({"input_ids": [ids]}) for ids in ([1, 2, 2], [1, 1, 1])]
        >>> token_rarity(rows[:1], rows[1:], vocabulary=3).weights
        tensor([[0.0000, 0.0000, 1.6094]])
    """
    own, usual = (torch.stack([_counts(rows, vocabulary) for rows in streams]) for streams in (forget, retain))
    found = (_log_shares(own) - _log_shares(usual.sum(dim=0, keepdim=True))).clamp(min=0.0)
    if not ((found > 0) & (own > 0)).any(dim=1).all():
        raise InputError(
            "data.forget: no token of a topic is more frequent there than in data.retain, so TokenWeightedRMU has "
            "nothing to steer; check the streams, or take RMU"
        )
    return TokenRarity(found.float())


def _counts(rows: Dataset, vocabulary: int) -> Tensor:
    """How often each token occurs, float64 `[vocab]`."""
    found = torch.zeros(vocabulary, dtype=torch.float64)
    for some in rows.select_columns("input_ids").iter(_ROWS):
        tokens = torch.tensor([token for ids in some["input_ids"] for token in ids], dtype=torch.int64)
        found += tokens.bincount(minlength=vocabulary)
    return found


def _log_shares(counts: Tensor) -> Tensor:
    smoothed = counts + _SMOOTHING
    return (smoothed / smoothed.sum(dim=1, keepdim=True)).log()
