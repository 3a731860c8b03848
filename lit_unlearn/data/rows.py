"""Tokenised rows, and how rows become a batch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.chat import Rendering, chat_template
from lit_unlearn.data.conversations import Message
from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.data.text import TextSource, first_conversation, load_conversations, load_texts
from lit_unlearn.errors import InputError
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
    prompt: frozenset[int] = frozenset()
    """Positions over which no mean runs and that are not predicted: of a conversation, all but the answers' own."""


class TrainedRow(NamedTuple):
    """One row that is trained on, and where it is from."""

    side: str
    """`forget` or `retain`."""
    name: str
    """Of the stream."""
    number: int
    """Its place among the rows of its source that are long enough, from 0."""
    text: str
    input_ids: list[int]


def tokenised(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of a source as token ids, cached on disk: a dataset with the column `input_ids`.

    Of conversations whose losses run over the answers alone, also `answer`: 1 at the tokens of answers, 0 at others.

    Raises:
        InputError: the source cannot be read or is empty, or a conversation cannot be rendered.
    """
    if source.format != "text":
        return _rendered(source, tokenizer)
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


def check_rendered(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> None:
    """The first conversation of local files can be rendered; of the hub, there is a chat template.

    Args:
        source: of conversations.
        tokenizer: the model's.

    Raises:
        InputError: it cannot, or there is none.
    """
    rendering = Rendering(tokenizer, chat_template(source.chat_template, tokenizer, source.path))
    if source.is_local():
        _cut(rendering, first_conversation(source), source, f"{source.path}, row 1")


def row_of(record: Mapping[str, Any], topic: int, number: int) -> Row:
    """A row of a tokenised stream.

    Args:
        record: of the dataset that `tokenised` gives.
        topic: the row's.
        number: one that no other row of the stream has.

    Example:
        >>> row_of({"input_ids": [5, 6, 7], "answer": [0, 0, 1]}, 0, 3).prompt
        frozenset({0, 1})
    """
    prompt = frozenset(place for place, own in enumerate(record.get("answer", ())) if not own)
    return Row(record["input_ids"], topic, number, prompt=prompt)


def collate(rows: Sequence[Row], *, padding_side: str, padding_id: int) -> Batch:
    """Pads rows to the longest of them.

    Neither an inserted token nor the one after it, which is predicted from it, has a label, nor has one of a prompt,
    but the one after it has.

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
        >>> batch = collate([Row([5, 6, 7, 8], 0, 3, prompt=frozenset({0, 1}))], padding_side="left", padding_id=0)
        >>> batch["loss_mask"].tolist(), batch["labels"].tolist()
        ([[0, 0, 1, 1]], [[-100, -100, 7, 8]])
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
    """1 where neither the row's token nor the `before` tokens before it are inserted, and it is not in a prompt."""
    places = range(len(row.input_ids))
    return [
        int(place not in row.prompt and row.inserted.isdisjoint(range(place - before, place + 1))) for place in places
    ]


def _rendered(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of a source of conversations."""
    conversations = load_conversations(source)
    rendering = Rendering(tokenizer, chat_template(source.chat_template, tokenizer, source.path))
    about = (
        "conversations",
        conversations._fingerprint,
        tokenizer_fingerprint(tokenizer),
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},  # which a template may name
        tokenizer.truncation_side,
        source.max_length,
        rendering.template,
        source.loss_on,
    )
    return conversations.map(
        lambda messages, index: _cut(rendering, messages, source, f"{source.path}, row {index + 1}"),
        input_columns=["messages"],
        with_indices=True,
        remove_columns=conversations.column_names,
        new_fingerprint=Hasher.hash(about),
        desc=f"Rendering {source.path}",
    )


def _cut(rendering: Rendering, messages: Sequence[Message], source: TextSource, place: str) -> dict[str, list[int]]:
    """A row that is not too long."""
    left = rendering.tokenizer.truncation_side == "left"
    kept = slice(-source.max_length, None) if left else slice(source.max_length)
    if source.loss_on == "all":
        return {"input_ids": rendering.whole(messages, place)[kept]}
    ids, answer = rendering.answers(messages, place)
    # The first token of a row is predicted from nothing.
    if not any(answer[kept][1:]):
        raise InputError(
            f"{place}: no token of the answer is among the {source.max_length} that are kept of {len(ids)}; raise "
            "`max_length` of the source, or remove the row"
        )
    return {"input_ids": ids[kept], "answer": answer[kept]}


def _pad(values: list[int], filler: int, length: int, side: str) -> list[int]:
    padding = [filler] * (length - len(values))
    return padding + values if side == "left" else values + padding
