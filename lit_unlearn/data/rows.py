"""Tokenised rows, and how rows become a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import IGNORED_LABEL


class Row(NamedTuple):
    """One sequence of a stream."""

    input_ids: list[int]
    topic: int
    number: int
    """A number that no other row of the stream has."""
    inserted: frozenset[int] = frozenset()
    """Positions of tokens that are not the stream's own, over which no mean runs."""


def tokenised(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of a source as token ids, cached on disk: a dataset with one column, `input_ids`.

    Raises:
        InputError: the source cannot be read or is empty.
    """
    texts = load_texts(source)
    about = (texts._fingerprint, tokenizer_fingerprint(tokenizer), tokenizer.truncation_side, source.max_length)
    return texts.map(
        lambda batch: {"input_ids": tokenizer(batch, truncation=True, max_length=source.max_length)["input_ids"]},
        input_columns=["text"],
        batched=True,
        remove_columns=["text"],
        new_fingerprint=Hasher.hash(about),
        desc=f"Tokenising {source.path}",
    )


def collate(rows: Sequence[Row], *, padding_side: str, padding_id: int) -> Batch:
    """Pads rows to the longest of them.

    Neither an inserted token nor the one after it, which is predicted from it, has a label.

    Args:
        rows: of one stream.
        padding_side: `left` or `right`.
        padding_id: the token at padding; no model attends to it.

    Example:
        >>> batch = collate([Row([5, 6], 0, 3), Row([7], 0, 4)], padding_side="left", padding_id=0)
        >>> batch["input_ids"].tolist(), batch["labels"].tolist()
        ([[5, 6], [0, 7]], [[5, 6], [-100, 7]])
        >>> batch = collate([Row([5, 6, 7, 8], 0, 3, frozenset({1}))], padding_side="left", padding_id=0)
        >>> batch["loss_mask"].tolist(), batch["labels"].tolist()
        ([[1, 0, 1, 1]], [[5, -100, -100, 8]])
    """
    length = max(len(row.input_ids) for row in rows)
    ids = [_pad(row.input_ids, padding_id, length, padding_side) for row in rows]
    mask = torch.tensor([_pad([1] * len(row.input_ids), 0, length, padding_side) for row in rows])
    own, predicted = (
        torch.tensor([_pad(_own(row, before), 0, length, padding_side) for row in rows]) for before in (0, 1)
    )
    input_ids = torch.tensor(ids)
    return Batch(
        input_ids=input_ids,
        attention_mask=mask,
        labels=input_ids.masked_fill(predicted == 0, IGNORED_LABEL),
        loss_mask=own,
        topic=torch.tensor([row.topic for row in rows]),
        row=torch.tensor([row.number for row in rows]),
    )


def _own(row: Row, before: int) -> list[int]:
    """1 where neither the row's token nor so many before it are inserted."""
    places = range(len(row.input_ids))
    return [int(row.inserted.isdisjoint(range(place - before, place + 1))) for place in places]


def _pad(values: list[int], filler: int, length: int, side: str) -> list[int]:
    padding = [filler] * (length - len(values))
    return padding + values if side == "left" else values + padding
