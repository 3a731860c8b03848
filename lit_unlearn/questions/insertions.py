"""Retain rows into which spans of forget text are put, and as their control spans of retain text.

A held-out retain row is cut where a word begins, after 4 to 16 tokens; there a span is put in, and what is scored are
the 48 tokens that follow. Everything is a pure function of the seed and the row, on token ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lit_unlearn.data.draws import sample, uniform
from lit_unlearn.data.ngrams import WordRow
from lit_unlearn.errors import InputError
from lit_unlearn.questions.scored_texts import ScoredText
from lit_unlearn.questions.spans import SENTENCE, WORD, Span, SpanSource, Words

CUT = (4, 16)
"""Fewest and most tokens before an insertion."""
SCORED = 48
"""Tokens after it that are scored."""
FORGET_TOKENS = (24, 96)
"""Of a held-out forget row, the tokens from 25 to 96 are scored."""
MOST_ROWS = 500
"""Trained rows of each stream from which spans are drawn."""
NONE_HELD_OUT = "LikelihoodRobustness: no rows are held out; set data.holdout, e.g. to 0.1"
"""Said where there is nothing into which to insert."""
TRAINED, HELD_OUT = "trained", "held-out"
"""Which rows of the forget stream a span is of."""
_LONGEST = 256


@dataclass(frozen=True)
class Insertions:
    """What is inserted.

    Raises:
        InputError: a value that cannot be.
    """

    rows: int
    """Held-out rows of the retain streams, and of the forget streams."""
    spans: tuple[Span, ...]
    """Kinds of spans."""
    seed: int
    """Of all draws."""

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise InputError(f"LikelihoodRobustness.rows: {self.rows} give no standard error; give 2 or more")
        wrong = [one for one in self.spans if isinstance(one, int) and not 1 <= one <= _LONGEST]
        if wrong or not self.spans or len(set(self.spans)) < len(self.spans):
            raise InputError(
                f"LikelihoodRobustness.spans: {list(self.spans)} is out of range; give numbers of tokens from 1 to "
                f"{_LONGEST}, {WORD!r} or {SENTENCE!r}, each once"
            )


class Stream(NamedTuple):
    """The rows of one stream."""

    trained: Sequence[WordRow]
    held_out: Sequence[WordRow]


class Inserted(NamedTuple):
    """A retain row and what is put into it: numbers of texts that are scored."""

    row: int
    """The number of the row among the held-out ones."""
    clean: int
    forget: int
    control: int


class Plan(NamedTuple):
    """All that is scored."""

    texts: Sequence[ScoredText]
    forget: Mapping[int, int]
    """By held-out forget row, the number of the text."""
    inserted: Mapping[str, Sequence[Inserted]]
    """By span and origin, such as `16-gram/trained`."""


def plan(insertions: Insertions, forget: Sequence[Stream], retain: Sequence[Stream]) -> Plan:
    """What is scored: held-out forget rows; held-out retain rows as they are, and with spans in them.

    Control spans are of trained retain rows: held-out ones may continue the row that they would be put into.

    Args:
        insertions: what is inserted.
        forget: the forget streams.
        retain: the retain streams.

    Raises:
        InputError: the rows are too short, or have no such spans.
    """
    texts: dict[ScoredText, int] = {}

    def number(ids: Sequence[int], scored: int) -> int:
        return texts.setdefault(ScoredText(tuple(ids), scored), len(texts))

    forget_rows = {
        row: number(ids[: FORGET_TOKENS[1]], len(ids[slice(*FORGET_TOKENS)]))
        for row, ids in _forget_rows(forget, insertions).items()
    }
    places = _places(retain, insertions)
    clean = {row: number([*head, *tail], SCORED) for row, (head, tail) in places.items()}
    control = SpanSource("retain", [stream.trained for stream in retain])
    inserted: dict[str, list[Inserted]] = {}
    for origin, rows in ((TRAINED, [one.trained for one in forget]), (HELD_OUT, [one.held_out for one in forget])):
        pairs = _Pairs(SpanSource(f"the {origin} rows of forget", rows), control, insertions.seed)
        for span in insertions.spans:
            found = []
            for row, (head, tail) in places.items():
                both = [number([*head, *put_in, *tail], SCORED) for put_in in pairs.draw(span, row)]
                found.append(Inserted(row, clean[row], *both))
            inserted[f"{shown(span)}/{origin}"] = found
    ordered = {
        name: inserted[name] for span in insertions.spans for name in inserted if name.startswith(f"{shown(span)}/")
    }
    return Plan([*texts], forget_rows, ordered)


def shown(span: Span) -> str:
    """The name of a kind of span.

    Example:
        >>> shown(16), shown("word")
        ('16-gram', 'word')
    """
    return f"{span}-gram" if isinstance(span, int) else span


class _Pairs:
    """Draws spans of forget text, each with one of as many tokens of retain text."""

    def __init__(self, forget: SpanSource, retain: SpanSource, seed: int) -> None:
        self.forget, self.retain, self.seed = forget, retain, seed
        self._words: tuple[Words, Words] | None = None

    def draw(self, span: Span, row: int) -> tuple[list[int], list[int]]:
        """The two spans for a row."""
        key, other = ("insert", self.seed, row, shown(span)), ("insert", self.seed, row, shown(span), "control")
        if isinstance(span, int):
            return self.forget.ngram(span, *key), self.retain.ngram(span, *other)
        if span == SENTENCE:
            sentence = self.forget.sentence(*key)
            return sentence, self.retain.beginning(len(sentence), *other)
        forget, retain = self._words = self._words or (Words(self.forget, self.retain), Words(self.retain, self.forget))
        word = forget.draw(retain.lengths, *key)
        return word, retain.draw({len(word)}, *other)


def _numbered(streams: Sequence[Stream]) -> dict[int, WordRow]:
    """The held-out rows of all streams, by their numbers."""
    return dict(enumerate(row for stream in streams for row in stream.held_out))


def _forget_rows(streams: Sequence[Stream], insertions: Insertions) -> dict[int, list[int]]:
    """The tokens of the forget rows that are scored."""
    first = FORGET_TOKENS[0]
    long = {row: one.input_ids for row, one in _numbered(streams).items() if len(one.input_ids) > first}
    return {row: long[row] for row in _chosen([*long], insertions, f"forget rows have more than {first} tokens")}


def _places(streams: Sequence[Stream], insertions: Insertions) -> dict[int, tuple[list[int], list[int]]]:
    """What comes before and after an insertion, by the number of the retain row."""
    rows, least = _numbered(streams), CUT[0] + SCORED
    cuts = {row: found for row, one in rows.items() if (found := _cuts(one))}
    chosen = _chosen([*cuts], insertions, f"retain rows have {least} tokens, with a word that begins in time")
    out = {}
    for row in chosen:
        cut = cuts[row][uniform(len(cuts[row]), "cut", insertions.seed, row)]
        ids = rows[row].input_ids
        out[row] = (ids[:cut], ids[cut : cut + SCORED])
    return out


def _cuts(row: WordRow) -> list[int]:
    """Where a row can be cut."""
    low, high = CUT
    last = min(high, len(row.input_ids) - SCORED)
    return [place for place in range(low, last + 1) if row.room[place]]


def _chosen(rows: Sequence[int], insertions: Insertions, described: str) -> list[int]:
    """Some of the rows, in their order.

    Raises:
        InputError: they are fewer than 2.
    """
    if len(rows) < 2:
        raise InputError(
            f"LikelihoodRobustness: {len(rows)} of the held-out {described}; give longer texts, raise max_length of "
            "the source, or raise data.holdout"
        )
    return sorted(sample(rows, min(insertions.rows, len(rows)), "insertion rows", insertions.seed))
