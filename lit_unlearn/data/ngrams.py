"""The n-grams of forget rows, which forget-token mixing draws from."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from datasets import Dataset
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.draws import uniform
from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.errors import InputError

_RULE = 2
"""Number of the rule by which `mixable` finds n-grams: one more after each change, so that no older cache is read."""


class WordRow(NamedTuple):
    """The tokens of a row, and which of them begin a word."""

    input_ids: list[int]
    room: list[int]
    """For each token that begins a word, how many tokens from it on are no special ones; 0 for every other."""
    pieces: list[str]
    """The text of each token."""


def word_rows(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> list[WordRow]:
    """Some texts as tokens whose words are known.

    Args:
        texts: a row each.
        tokenizer: the model's.
        max_length: rows are cut after this many tokens.

    Raises:
        InputError: the tokenizer does not say where in a text its tokens are.
    """
    _check_fast(tokenizer, "LikelihoodRobustness", "remove the callback")
    special = special_tokens(tokenizer)
    rows = tokenizer(list(texts), truncation=True, max_length=max_length, return_offsets_mapping=True)
    return [
        WordRow(ids, _room(text, ids, offsets, special, ()), [text[begin:end] for begin, end in offsets])
        for text, ids, offsets in zip(texts, rows["input_ids"], rows["offset_mapping"], strict=True)
    ]


class NGrams:
    """The n-grams of training rows of some topics: every run of n tokens that begins with a word.

    They may end within one. None has a special token or a token of an excluded word.

    Args:
        topics: the training rows of each topic, as `mixable` gives them.
        lengths: the numbers n.

    Raises:
        InputError: a topic has no n-gram of one of the lengths.
    """

    def __init__(self, topics: Mapping[str, Dataset], lengths: Collection[int]) -> None:
        self._topics = list(topics.values())
        self._rows = {n: [_rows_with(n, name, rows) for name, rows in topics.items()] for n in lengths}

    def draw(self, n: int, *key: str | int) -> list[int]:
        """One of n tokens: topic, row and place are drawn uniformly, one after another, as a function of the key."""
        topic = uniform(len(self._topics), *key, "topic")
        rows = self._rows[n][topic]
        row = self._topics[topic][rows[uniform(len(rows), *key, "row")]]
        places = [place for place, room in enumerate(row["room"]) if room >= n]
        place = places[uniform(len(places), *key, "place")]
        return list(row["input_ids"][place : place + n])


def mixable(source: TextSource, tokenizer: PreTrainedTokenizerBase, *, exclude: Sequence[str] = ()) -> Dataset:
    """The rows of a source and what of them may be mixed in, cached on disk.

    Args:
        source: of a forget stream.
        tokenizer: the model's.
        exclude: words none of whose tokens may be.

    Returns:
        Columns `input_ids`; `room`, for each token that begins a word the number of tokens from it on that may be mixed
        in, else 0; `longest`, the most of them.

    Raises:
        InputError: the source cannot be read, or the tokenizer does not say where in a text its tokens are.
    """
    _check_fast(tokenizer, "data.mixing", "no data.mixing")
    texts, special = load_texts(source), special_tokens(tokenizer)

    def columns(batch: list[str]) -> dict[str, list[Any]]:
        rows = tokenizer(batch, truncation=True, max_length=source.max_length, return_offsets_mapping=True)
        ids = rows["input_ids"]
        found = [_room(*row, special, exclude) for row in zip(batch, ids, rows["offset_mapping"], strict=True)]
        return {"input_ids": ids, "room": found, "longest": [max(room, default=0) for room in found]}

    return texts.map(
        columns,
        input_columns=["text"],
        batched=True,
        remove_columns=["text"],
        new_fingerprint=Hasher.hash(
            (
                "mixable",
                _RULE,
                texts._fingerprint,
                tokenizer_fingerprint(tokenizer),
                tokenizer.truncation_side,
                source.max_length,
                list(exclude),
            )
        ),
        desc=f"Finding n-grams of {source.path}",
    )


def _check_fast(tokenizer: PreTrainedTokenizerBase, option: str, remedy: str) -> None:
    if not tokenizer.is_fast:
        raise InputError(
            f"{option}: {type(tokenizer).__name__} does not say where words begin; take a model with a "
            f"tokenizer.json, or {remedy}"
        )


def _rows_with(n: int, topic: str, rows: Dataset) -> list[int]:
    """The numbers of the rows with an n-gram."""
    found = [number for number, longest in enumerate(rows["longest"]) if longest >= n]
    if not found:
        raise InputError(
            f"data.mixing: no row of {topic} has {n} tokens together that may be mixed in; lower "
            "data.mixing.length, or shorten data.mixing.exclude"
        )
    return found


def _room(
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    special: Collection[int],
    exclude: Sequence[str],
) -> list[int]:
    """For each token that begins a word, how many from it on may be mixed in; 0 for every other."""
    excluded = _excluded(text, exclude)
    room, run = [0] * len(ids), 0
    for token in reversed(range(len(ids))):
        begin, end = offsets[token]
        run = 0 if ids[token] in special or not excluded.isdisjoint(range(begin, end)) else run + 1
        # Bytes of one character share its place; only the first of them can begin a word.
        first = token == 0 or offsets[token - 1][1] <= begin
        room[token] = run if first and _begins_word(text, begin, end) else 0
    return room


def _begins_word(text: str, begin: int, end: int) -> bool:
    """Whether a token at these characters begins a word; some tokenizers count the space before it to it."""
    return bool(text[begin:end].strip()) and (begin == 0 or bool(re.search(r"\s", text[begin - 1 : begin + 1])))


def _excluded(text: str, words: Sequence[str]) -> set[int]:
    """The characters of excluded words."""
    patterns = [r"\s+".join(map(re.escape, word.split())) for word in words]
    found = (match.span() for pattern in patterns for match in re.finditer(pattern, text, re.IGNORECASE))
    return {character for span in found for character in range(*span)}
