"""Forget-token mixing: spans of retain rows are replaced by n-grams of the forget streams."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lit_unlearn.data.draws import chance, uniform
from lit_unlearn.data.ngrams import NGrams
from lit_unlearn.data.rows import Row
from lit_unlearn.errors import InputError


@dataclass(frozen=True)
class Mixing:
    """Which retain rows are mixed with forget tokens, and how much of them.

    In a mixed row spans at random places are replaced by n-grams of the forget streams' training rows. Retain losses
    leave the replaced positions out and keep all others: they show the model forget tokens that change nothing around
    them. Position 0 and special tokens are never replaced, nor, where losses run over answers alone, an answer's tokens
    and the one before; between two spans at least one token stays.

    With `unit: rows` a mixed row is instead a prompt of a whole forget row and a whole retain row, in either order, and
    each loss runs over its own part (`MixedPrompts`).

    Raises:
        InputError: a number that cannot be, or options that do not fit together.
    """

    rate: float
    """Share of the retain rows that are mixed, above 0 and up to 1; drawn for each row, again in each pass."""
    spans: int | None = None
    """Spans of a row, or as many as find room; at least half of a row's tokens stay. Of unit spans."""
    length: int | list[int] | None = None
    """Tokens of a span, or several numbers, one of which is drawn for each span. Of unit spans."""
    exclude: list[str] = field(default_factory=list)
    """Words and phrases none of whose tokens are mixed in, in upper or lower case, within longer words too. Of unit
    spans."""
    start: int = 0
    """The training step (a batch of each stream) from which on rows are mixed."""
    unit: Literal["spans", "rows"] = "spans"
    """What of the forget streams is mixed in: spans within a retain row, or a whole row before or after it."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise InputError(
                f"data.mixing.rate: {self.rate} is not a share of rows; give a number above 0 and up to 1, or no "
                "data.mixing"
            )
        self._check_unit()
        for name, values, least in (
            ("spans", (1 if self.spans is None else self.spans,), 1),
            ("length", (1,) if self.length is None else self.lengths, 1),
            ("start", (self.start,), 0),
        ):
            if not values or min(values) < least:
                raise InputError(f"data.mixing.{name}: must be at least {least}, got {getattr(self, name)}")
        if not all(word.strip() for word in self.exclude):
            raise InputError(f"data.mixing.exclude: {self.exclude} has an empty word; remove it")

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of which each span has one; none where whole rows are mixed."""
        return (self.length,) if isinstance(self.length, int) else tuple(self.length or ())

    def _check_unit(self) -> None:
        """What describes spans is given where spans are mixed, and nowhere else."""
        given = {"spans": self.spans is not None, "length": self.length is not None}
        if self.unit == "rows":
            for name, value in (*given.items(), ("exclude", bool(self.exclude))):
                if value:
                    raise InputError(
                        f"data.mixing.{name}: {getattr(self, name)} belongs to unit spans, and whole rows are mixed; "
                        f"remove it, or set data.mixing.unit to spans"
                    )
        elif missing := [name for name, value in given.items() if not value]:
            raise InputError(
                f"data.mixing.{missing[0]}: none given; give a number, or set data.mixing.unit to rows for whole rows"
            )


class RowMixing(NamedTuple):
    """Mixes rows: a pure function of the seed, the row and its stream's pass."""

    options: Mixing
    ngrams: NGrams
    special: frozenset[int]
    """Ids of tokens that are never replaced."""
    seed: int

    def __call__(self, row: Row, turn: int) -> Row:
        """The row with spans replaced, or the row itself.

        Args:
            row: of a retain stream.
            turn: how often the stream has been passed through before.
        """
        key = ("mixing", self.seed, turn, row.number)
        if not chance(self.options.rate, *key, "row"):
            return row
        assert self.options.spans is not None
        ids, inserted = list(row.input_ids), set[int]()
        taken = {0} | {position for position, token in enumerate(ids) if token in self.special}
        if row.prompt:  # what is retained is the answer; its first token is predicted from the one before
            answer = {*range(len(ids))} - row.prompt
            taken |= answer | {place - 1 for place in answer}
        for span in range(self.options.spans):
            n = self.options.lengths[uniform(len(self.options.lengths), *key, span, "length")]
            places = _places(len(ids), n, taken)
            if places and 2 * (len(inserted) + n) <= len(ids):
                place = places[uniform(len(places), *key, span, "span")]
                ids[place : place + n] = self.ngrams.draw(n, *key, span)
                inserted |= {*range(place, place + n)}
                taken |= {*range(place - 1, place + n + 1)}  # two spans side by side would be one longer n-gram
        return row._replace(input_ids=ids, inserted=frozenset(inserted))

    def pair(self, forget: Row, retain: Row, turn: int) -> tuple[Row, Row]:
        """A forget and a retain row that meet in a step; the forget row stays as it is.

        Args:
            forget: of a forget stream.
            retain: of a retain stream.
            turn: how often the retain stream has been passed through before.
        """
        return forget, self(retain, turn)


def _places(length: int, n: int, taken: Collection[int]) -> list[int]:
    """Where n positions of a row are free."""
    return [place for place in range(length - n + 1) if not any(place + step in taken for step in range(n))]
