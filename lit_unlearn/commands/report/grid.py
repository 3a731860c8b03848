"""The tables of the page: their cells, and columns that belong together."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from lit_unlearn.commands.report.answer_metrics import metric_parts
from lit_unlearn.commands.report.cells import cell, excess, shown
from lit_unlearn.commands.report.repair import Comparison
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.series import Panel
from lit_unlearn.commands.report.table import as_asked, forgetting_columns, insertion_parts, letter_parts, repair_column

_COLUMNS = 8
"""Of one table of accuracies; more would not fit on paper."""
_NUMBER = re.compile(r"[-−+]?\d[\d.]*(e[-+]?\d+)?( ?%| points| nats)?( ± [\d.]+)?( [\[(][^])]*[\])])?|n/a|–|")
"""What is set as a number: with its error or an interval, or none at all."""


@dataclass(frozen=True)
class Group:
    """Columns under a common head."""

    head: str
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    """By row."""


@dataclass(frozen=True)
class Table:
    """Rows with a head each, and groups of columns."""

    caption: str
    corner: str
    heads: Sequence[str]
    groups: Sequence[Group]

    @property
    def columns(self) -> list[str]:
        """Heads of the columns."""
        return [column for group in self.groups for column in group.columns]

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Each head with its cells."""
        parts = zip(*(group.cells for group in self.groups), strict=True)
        return [(head, list(chain(*row))) for head, row in zip(self.heads, parts, strict=True)]

    @property
    def classes(self) -> list[str]:
        """For each column, how it is set: `number`, and `first` of a group."""
        columns = zip(*(cells for _, cells in self.rows), strict=True)
        numeric = [all(_NUMBER.fullmatch(one) for one in column) for column in columns]
        first = [place == 0 and bool(group.head) for group in self.groups for place in range(len(group.columns))]
        return [
            f"{'number' * number} {'first' * begins}".strip() for number, begins in zip(numeric, first, strict=True)
        ]


def plain(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column heads its rows."""
    group = Group("", columns[1:], [row[1:] for row in rows])
    return Table(caption, columns[0], [row[0] for row in rows], [group])


def accuracies(models: Sequence[ReportedModel], compared: Comparison) -> list[Table]:
    """The numbers of the markdown table, by question set and perturbation; several tables where they are many."""
    packed: list[list[Group]] = [[]]
    for group in _groups(models, compared):
        if packed[-1] and sum(len(one.columns) for one in [*packed[-1], group]) > _COLUMNS:
            packed.append([])
        packed[-1].append(group)
    names = [model.name for model in models]
    what = "Accuracy: " if models[0].variants else ""
    return [Table(f"{what}{'; '.join(one.head for one in part)}", "model", names, part) for part in packed if part]


def inserted(models: Sequence[ReportedModel], compared: Comparison) -> list[Table]:
    """What forget text in retain rows costs."""
    parts = [*insertion_parts(models, compared)]
    names = [model.name for model in models]
    return [Table("Forget text in retain rows", "model", names, [_group("", columns)]) for columns in parts]


def free_answers(models: Sequence[ReportedModel]) -> list[Table]:
    """The metrics of free answers, a table for all sets and one for each."""
    names = [model.name for model in models]
    return [
        Table(f"Free answers: {name}", "model", names, [_group("", columns)]) for name, columns in metric_parts(models)
    ]


def commonest_letters(models: Sequence[ReportedModel]) -> list[Table]:
    """The letter that each model predicts most often, by variant."""
    return [plain("Commonest letter", ["model", *variants], rows) for variants, rows in letter_parts(models)]


def of_panel(panel: Panel, corner: str) -> Table:
    """The numbers of a line figure, a row for each x."""
    xs = sorted({x for line in panel.lines for x in line.cells})
    cells = [[shown(line.cells[x]) if x in line.cells else "" for line in panel.lines] for x in xs]
    return Table(panel.title, corner, [f"{x:g}" for x in xs], [Group("", [line.label for line in panel.lines], cells)])


def _groups(models: Sequence[ReportedModel], compared: Comparison) -> Iterator[Group]:
    if models[0].variants:
        asked = {variant: [shown(cell(model, variant)) for model in models] for variant in as_asked(models)}
        yield _group("as asked", asked)
    if measures := forgetting_columns(models):
        yield _group("forgetting, nats", measures)
    for variant in models[0].perturbed:
        columns = {
            "perturbed": [shown(cell(model, variant)) for model in models],
            "control": [shown(cell(model, f"{variant}/control")) for model in models],
            "drop beyond control": [excess(model, variant) for model in models],
        }
        if cells := repair_column(compared, variant):
            columns["repair"] = cells
        yield _group(", ".join(variant.split("/", 1)), columns)


def _group(head: str, columns: Mapping[str, Sequence[str]]) -> Group:
    return Group(head, list(columns), list(zip(*columns.values(), strict=True)))
