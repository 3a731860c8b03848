"""The rows of all streams with the class that each stands in: a class for every forget topic, and one for retain."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.data.rows import TrainedRow
from lit_unlearn.errors import InputError

RETAIN = "retain"
"""The class of all retain rows."""
LEAST = 20
"""Rows of a class, at least."""


class LabelledRow(NamedTuple):
    """A row of a stream and its class."""

    row: TrainedRow
    label: int
    """An index into the class names."""

    @property
    def stream(self) -> str:
        """`forget/NAME` or `retain/NAME`."""
        return f"{self.row.side}/{self.row.name}"


def class_names(run: Run) -> list[str]:
    """The classes of a run's rows: `forget/TOPIC` for each topic, then RETAIN.

    Args:
        run: whose data.
    """
    return [*(f"forget/{name}" for name in run.data.topics), RETAIN]


def labelled_rows(run: Run, count: int) -> list[LabelledRow]:
    """The rows that are trained on, each once.

    Args:
        run: whose data.
        count: of each stream, at most; the first ones.

    Raises:
        InputError: a class has too few rows.
    """
    names = class_names(run)
    rows = list(_rows(run, names, count))
    for label, name in enumerate(names):
        found = sum(row.label == label for row in rows)
        if found < LEAST:
            raise InputError(
                f"analyse strays: {name} has {found} rows, of which nothing can be said; at least {LEAST} are needed, "
                "give more with --rows or longer files"
            )
    return rows


def _rows(run: Run, names: Sequence[str], count: int) -> Iterator[LabelledRow]:
    for row in run.data.rows_with_texts(count):
        found = LabelledRow(row, 0)
        yield found._replace(label=names.index(RETAIN if row.side == "retain" else found.stream))
