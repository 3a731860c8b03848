"""Whether forget and retain texts can be told apart at all, by their first rows' tokens."""

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from lit_unlearn.commands.plan.check import Check
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.data.naive_bayes import folds, margins, out_of_fold, token_rows
from lit_unlearn.data.text import TextSource, first_texts
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer

_ROWS = 256
"""Of each stream that are read."""
_LEAST = 50
"""Below this number of rows nothing is said."""
_HARDLY = 0.6
"""Share of rows whose stream is recognised, up to which it is noted; 1/2 is chance."""


def check_streams(config: PlanCLI) -> Iterator[Check]:
    """A note for each forget topic that can hardly be told apart from what it is paired with; of local files alone.

    Args:
        config: of the run.
    """
    data = config.datamodule
    try:
        given = data.tokenizer
        tokenizer = load_tokenizer(config.model.model_source if given is None else ModelSource(given))
        own = {name: _tokens(source, tokenizer) for name, source in data.forget.items()}
        retain = {name: _tokens(source, tokenizer) for name, source in data.retain.items()}
    except InputError:
        return  # what cannot be read is a check of its own
    for name, forget in own.items():
        others = retain[name] if len(retain) > 1 else next(iter(retain.values()))
        if min(len(forget), len(others)) < _LEAST:
            continue
        share = recognised(forget, others, sorted(special_tokens(tokenizer)))
        if share <= _HARDLY:
            found = (
                f"forget/{name} and its retain rows can hardly be told apart: of {len(forget) + len(others)} rows "
                f"{share:.0%} are recognised by their tokens, 50% by chance"
            )
            yield Check("streams", "note", found, "read rows of both with `lit-unlearn analyse strays`")


def recognised(forget: Sequence[Sequence[int]], retain: Sequence[Sequence[int]], special: Sequence[int]) -> float:
    """The share of rows whose stream naive Bayes recognises out of fold, the mean of both streams' shares.

    Args:
        forget: token ids of each row.
        retain: likewise.
        special: ids that do not count.

    Example:
        >>> recognised([[5, 5, number] for number in range(30)], [[7, 7, number] for number in range(30)], [])
        1.0
    """
    rows = [*forget, *retain]
    labels = (torch.arange(len(rows)) >= len(forget)).long()
    found = margins(out_of_fold(token_rows(rows, special), labels, folds(rows), 2), labels)
    right = (found > 0).double() + (found == 0).double() / 2
    return float(sum(right[labels == label].mean() for label in range(2)) / 2)


def _tokens(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The first rows of a source; none of the hub."""
    if not source.is_local():
        return []
    texts = first_texts(source, _ROWS)
    if not texts:  # none is long enough, which is a check of its own
        return []
    found: list[list[int]] = tokenizer(texts, truncation=True, max_length=source.max_length)["input_ids"]
    return found
