"""Words that are typical of some rows against others."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from lit_unlearn.data.ngrams import WordRow

_LEAST = 2
"""Rows in which a typical word has to be."""


def typical_words(rows: Sequence[WordRow], others: Sequence[WordRow]) -> list[tuple[int, ...]]:
    """The words of some rows, as token ids, that are typical of them; the most typical first.

    A word's weight is p log(p / q), where p and q are the shares of rows and of other rows in which it is, with half a
    row added to both counts. Words of letters alone count, those in 2 rows or more and with a positive weight.

    Args:
        rows: of which the words are.
        others: against which they are typical.
    """
    own, against = _counts(rows), _counts(others)

    def weight(word: tuple[int, ...]) -> float:
        p = (own[word] + 0.5) / (len(rows) + 1)
        return p * math.log(p / ((against[word] + 0.5) / (len(others) + 1)))

    found = [word for word, count in own.items() if count >= _LEAST and weight(word) > 0]
    return sorted(found, key=lambda word: (-weight(word), word))


def _counts(rows: Sequence[WordRow]) -> Counter[tuple[int, ...]]:
    """In how many rows each word is."""
    return Counter(word for row in rows for word in set(_words(row)))


def _words(row: WordRow) -> Iterator[tuple[int, ...]]:
    """The words of letters alone, each up to where the next begins."""
    starts = [place for place, room in enumerate(row.room) if room]
    for start, end in zip(starts, [*starts[1:], len(row.input_ids)], strict=True):
        if "".join(row.pieces[start:end]).strip().isalpha() and row.room[start] >= end - start:
            yield tuple(row.input_ids[start:end])
