"""The figures of the page, each with what it shows in words and in numbers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from lit_unlearn.commands.report.cells import nats, shown
from lit_unlearn.commands.report.curves import curves
from lit_unlearn.commands.report.figure import bars
from lit_unlearn.commands.report.forgetting_robustness import Front, axis_label, front, fronts, insertion_fronts
from lit_unlearn.commands.report.grid import Table, of_panel, plain
from lit_unlearn.commands.report.perturbations import Kind
from lit_unlearn.commands.report.repair import Comparison
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.series import Panel, over_lengths, over_option, over_shares, over_steps, readable
from lit_unlearn.commands.report.style import encoded
from lit_unlearn.commands.report.table import seeds_legend
from lit_unlearn.questions.similar_ngrams import CLASSES

_WHISKERS = "Whiskers are the ± of the tables; the dotted line is guessing."
_BANDS = "Bands are the ± of the tables; the dotted line is guessing."


class Drawing(NamedTuple):
    """One figure."""

    figure: Figure
    label: str
    """Text for a reader who cannot see it."""

    @property
    def svg(self) -> bytes:
        """The figure as a file."""
        return encoded(self.figure, "svg")


class Picture(NamedTuple):
    """A part of the page: figures of one kind."""

    title: str
    drawings: Sequence[Drawing]
    caption: str
    tables: Sequence[Table] = ()
    """What they show in numbers, where no other table of the page has them."""


def pictures(models: Sequence[ReportedModel], compared: Comparison, kinds: Mapping[str, Kind]) -> Iterator[Picture]:
    """The figures that there are the numbers for.

    Args:
        models: of the report.
        compared: with the method.
        kinds: of the perturbations, by name.
    """
    if found := excess(models, compared):
        yield found
    if not models[0].variants:
        return
    if measured := fronts(models, compared):
        yield _front(measured, compared, seeds_legend(models))
    yield from _similarities(models, kinds)
    if panels := list(over_lengths(models, kinds)):
        caption = "Accuracy on questions perturbed by n-grams, and by as many tokens of retain text."
        yield _lines("Length of the n-gram", panels, "n, tokens", caption, log_above=4)
    if sweep := over_option(models):
        option, panels = sweep
        caption = f"Accuracy after unlearning with each {option}."
        yield _lines(f"Sweep of {option}", panels, option, caption, log_above=30)
    if panels := over_steps(models):
        yield _lines("During training", panels, "step", "Accuracy at every evaluation of a run.")
    if panels := over_shares(models):
        caption = "Accuracy of the weights base + t · (unlearned − base), a control for any repair."
        yield _lines("Between base and unlearned model", panels, "t", caption)


def overview(models: Sequence[ReportedModel]) -> Picture | None:
    """Every variant, each model beside the others; None where no questions were asked."""
    if not models[0].variants:
        return None
    names = {re.sub("[/ ]", "\n", variant): variant for variant in models[0].variants}
    return _bars("Accuracy", models, names, "Accuracy by question set and perturbation.")


def excess(models: Sequence[ReportedModel], compared: Comparison) -> Picture | None:
    """What forget text in retain rows costs, without a table: the page has one of it; None where it was not counted."""
    panels = insertion_fronts(models, compared)
    if not panels:
        return None
    label = (
        f"Points: excess in nats per token of {', '.join(panels[0].points)} against {axis_label(panels[0].measure)}. "
        "The tables of insertions have the numbers."
    )
    caption = (
        f"What forget text in held-out retain rows costs the tokens that follow, beyond as much retain text. "
        f"{_read(panels[0], compared)} Down is better. Whiskers are the ± of the tables. {seeds_legend(models)}"
    )
    return Picture("Forget text in retain rows", [Drawing(front(panels), label)], caption)


def _front(panels: Sequence[Front], compared: Comparison, seeds: str) -> Picture:
    points, measure = [panel.points for panel in panels], panels[0].measure
    shown_forget = nats if measure else shown
    rows = [
        [name, shown_forget(points[0][name].forget), *(shown(panel[name].kept) for panel in points)]
        for name in points[0]
    ]
    titles = [panel.title for panel in panels]
    label = (
        f"Points: accuracy in percent of {', '.join(points[0])} on all perturbed questions to retain against "
        f"{axis_label(measure)}. The table below has the numbers."
    )
    caption = f"All perturbations of questions to retain together. {_read(panels[0], compared)} {_WHISKERS} {seeds}"
    head = measure.head if measure else "forget"
    table = plain("Forgetting, and accuracy on perturbed questions to retain", ["model", head, *titles], rows)
    return Picture("Forgetting and robustness", [Drawing(front(panels), label)], caption, [table])


def _read(panel: Front, compared: Comparison) -> str:
    """How to read the figure of forgetting and robustness."""
    if panel.measure is None:
        return (
            f"Not every run has the {compared.measure.described}: the horizontal axis is accuracy, which stays at "
            "guessing however much is lost, and says nothing of equal forgetting."
        )
    told = f"Horizontally the {panel.measure.described}, in nats: left is forgotten better."
    if compared.method is None:
        return f"{told} Compare models that have forgotten equally."
    method = compared.method.name
    told += f" Hollow marks: models whose forgetting is not equal to that of {method}, within the paired error."
    if panel.curve:
        told += f" The thin line is base + t · (unlearned − base) of {method}, t from 0 to 1."
    return told


def _similarities(models: Sequence[ReportedModel], kinds: Mapping[str, Kind]) -> Iterator[Picture]:
    """The classes of n-grams, by how similar they are to their own document."""
    order = {name: place for place, name in enumerate(CLASSES)}
    found = [
        (questions, kind.family, kind.n, kind.similarity, variant)
        for variant in models[0].perturbed
        for questions, _, name in [variant.partition("/")]
        if (kind := kinds.get(name)) and kind.similarity
    ]
    found.sort(key=lambda one: (*one[:3], order[one[3]]))
    if len({similarity for *_, similarity, _ in found}) > 1:
        names = {
            "\n".join(filter(None, (f"{n} tokens", similarity, questions, family))): variant
            for questions, family, n, similarity, variant in found
        }
        caption = "Accuracy on questions perturbed by n-grams most, averagely and least similar to their own document."
        yield _bars("Similarity of the n-gram to its document", models, names, caption)


def _bars(title: str, models: Sequence[ReportedModel], groups: Mapping[str, str], caption: str) -> Picture:
    names = ", ".join(model.name for model in models)
    label = f"Bars: accuracy in percent of {names} on {', '.join(groups.values())}. The tables have the numbers."
    caption = f"{caption} {_WHISKERS}"
    return Picture(title, [Drawing(bars(models, groups), label)], caption)


def _lines(
    title: str, panels: Sequence[Panel], xlabel: str, caption: str, *, log_above: float | None = None
) -> Picture:
    drawings = [
        Drawing(curves(part, xlabel=xlabel, log_above=log_above), _described(part, xlabel)) for part in readable(panels)
    ]
    return Picture(title, drawings, f"{caption} {_BANDS}", [of_panel(panel, xlabel) for panel in panels])


def _described(panels: Sequence[Panel], xlabel: str) -> str:
    labels = ", ".join(dict.fromkeys(line.label for panel in panels for line in panel.lines))
    titles = ", ".join(panel.title for panel in panels if panel.title)
    within = f"; panels {titles}" if titles else ""
    return f"Lines: accuracy in percent against {xlabel} of {labels}{within}. The table below has the numbers."
