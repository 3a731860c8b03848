"""Spans of tokens that are inserted into rows: n-grams, sentences and typical words of a stream."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from lit_unlearn.data.draws import uniform
from lit_unlearn.data.ngrams import WordRow
from lit_unlearn.errors import InputError
from lit_unlearn.questions.typical_words import typical_words

Span = int | Literal["word", "sentence"]
"""Tokens of an n-gram that begins with a word; or a typical word, or a sentence."""
WORD: Final = "word"
SENTENCE: Final = "sentence"
SENTENCE_TOKENS = (6, 32)
"""Fewest and most of a sentence."""
_MOST_TYPICAL = 50
"""Words from which one is drawn."""


class Place(NamedTuple):
    """Where in some rows a span begins."""

    row: int
    start: int
    length: int
    """Tokens that a span may have there, or that the sentence has."""


class SpanSource:
    """Draws spans of the rows of some streams: functions of a key, all streams equally often.

    Args:
        name: of the rows, for errors.
        streams: rows of each.
    """

    def __init__(self, name: str, streams: Sequence[Sequence[WordRow]]) -> None:
        self.name = name
        self.streams = streams
        self._starts = [[_word_starts(number, row) for number, row in enumerate(rows)] for rows in streams]
        self._of_length: dict[tuple[int, int], list[list[Place]]] = {}
        self._sentences = [
            [place for number, row in enumerate(rows) for place in _sentences(number, row)] for rows in streams
        ]

    @property
    def rows(self) -> list[WordRow]:
        """Of all streams."""
        return [row for rows in self.streams for row in rows]

    def ngram(self, n: int, *key: str | int) -> list[int]:
        """Tokens, n of them, that begin with a word; stream, row and place are drawn one after another.

        Raises:
            InputError: no row has as many.
        """
        stream = uniform(len(self.streams), *key, "stream")
        rows = self._rows_with(n, stream)
        if not rows:
            raise InputError(
                f"LikelihoodRobustness.spans: no row of {self.name} has {n} tokens together; lower the number, or give "
                "longer texts"
            )
        places = rows[uniform(len(rows), *key, "row")]
        place = places[uniform(len(places), *key, "place")]
        return self.streams[stream][place.row].input_ids[place.start : place.start + n]

    def sentence(self, *key: str | int) -> list[int]:
        """A whole sentence.

        Raises:
            InputError: there is none that is neither too short nor too long.
        """
        stream = uniform(len(self.streams), *key, "stream")
        places = self._sentences[stream]
        if not places:
            low, high = SENTENCE_TOKENS
            raise InputError(
                f"LikelihoodRobustness.spans: {self.name} has no sentence of {low} to {high} tokens that ends in . ! "
                "or ?; leave `sentence` out"
            )
        row, start, length = places[uniform(len(places), *key, "place")]
        return self.streams[stream][row].input_ids[start : start + length]

    def beginning(self, n: int, *key: str | int) -> list[int]:
        """Tokens, n of them, from where a sentence begins; of any place where no sentence begins with as many."""
        stream = uniform(len(self.streams), *key, "stream")
        rows = self.streams[stream]
        places = [one for one in self._sentences[stream] if rows[one.row].room[one.start] >= n]
        if not places:
            return self.ngram(n, *key)
        row, start, _ = places[uniform(len(places), *key, "place")]
        return rows[row].input_ids[start : start + n]

    def _rows_with(self, n: int, stream: int) -> list[list[Place]]:
        """The places of each row of a stream that has some with as many tokens."""
        if (n, stream) not in self._of_length:
            rows = ([one for one in starts if one.length >= n] for starts in self._starts[stream])
            self._of_length[n, stream] = [places for places in rows if places]
        return self._of_length[n, stream]


class Words:
    """Words that are typical of one source against another, from the most typical of each number of tokens.

    Args:
        source: of which the words are.
        others: against which they are typical.
    """

    def __init__(self, source: SpanSource, others: SpanSource) -> None:
        self.name = source.name
        self._ranked = typical_words(source.rows, others.rows)
        self.lengths = {len(word) for word in self._ranked}

    def draw(self, lengths: set[int], *key: str | int) -> list[int]:
        """One of the most typical words with one of these numbers of tokens.

        Raises:
            InputError: there is none.
        """
        words = [word for word in self._ranked if len(word) in lengths][:_MOST_TYPICAL]
        if not words:
            raise InputError(
                f"LikelihoodRobustness.spans: no word is typical of {self.name}; leave `word` out, or give more rows"
            )
        return list(words[uniform(len(words), *key)])


def _word_starts(number: int, row: WordRow) -> list[Place]:
    """Where words begin, but for a row's first: without a space before it, it would be other tokens elsewhere."""
    return [Place(number, start, room) for start, room in enumerate(row.room) if room][1:]


def _sentences(number: int, row: WordRow) -> list[Place]:
    """The sentences of a row after its first, for the same reason."""
    low, high = SENTENCE_TOKENS
    starts = [place for place, room in enumerate(row.room) if room]
    ends = [*starts[1:], len(row.input_ids)]
    ended = [end for start, end in zip(starts, ends, strict=True) if _ends_sentence("".join(row.pieces[start:end]))]
    spans = [(start, end - start) for start, end in pairwise(ended)]
    return [Place(number, start, length) for start, length in spans if low <= length <= min(high, row.room[start])]


def _ends_sentence(word: str) -> bool:
    return word.rstrip().endswith((".", "!", "?"))
