"""Figure of forgetting against robustness: a point for each model, so that they can be compared at equal forgetting."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.style import legend, line_style, styled
from lit_unlearn.commands.report.table import Cell, cell


class Placed(NamedTuple):
    """One model."""

    forget: Cell
    """Accuracy on the questions to forget."""
    kept: Cell
    """Accuracy on perturbed questions to retain."""


class Front(NamedTuple):
    """Models to be seen together."""

    title: str
    points: Mapping[str, Placed]
    """By the model's label."""


def fronts(models: Sequence[ReportedModel]) -> list[Front]:
    """Over all perturbations of the sets to retain together: under them, and under their controls."""
    forget = next((tuple(found["forget"]) for model in models for found in model.results if "forget" in found), ())
    asked = tuple(name for name in forget if name in models[0].variants)
    perturbed = [variant for variant in models[0].perturbed if variant.partition("/")[0] not in forget]
    if not asked or not perturbed:
        return []
    kinds = {"forget text": perturbed, "retain text (control)": [f"{variant}/control" for variant in perturbed]}
    return [
        Front(title, {model.name: Placed(cell(model, *asked), cell(model, *variants)) for model in models})
        for title, variants in kinds.items()
    ]


@styled
def front(panels: Sequence[Front]) -> Figure:
    """The panels, up to three in a row: up is better, left is forgotten better, up to the dotted line of guessing.

    Args:
        panels: what to draw; points of one label look alike in all.
    """
    beside = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // beside)
    figure = Figure(figsize=((4.8, 8.4, 9.2)[beside - 1], 0.5 + 2.7 * rows), layout="constrained")
    every = list(figure.subplots(rows, beside, sharex=True, sharey=True, squeeze=False).flat)
    places = {
        label: place for place, label in enumerate(dict.fromkeys(label for one in panels for label in one.points))
    }
    handles: dict[str, Any] = {}
    for axes, panel in zip(every, panels, strict=False):
        _draw(axes, panel, places, handles)
        axes.set_title(panel.title, fontsize="medium")
        axes.tick_params(labelbottom=True)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    points = [point for panel in panels for point in panel.points.values()]
    every[0].set_xlim(_limits([point.forget for point in points]))
    every[0].set_ylim(_limits([point.kept for point in points]))
    figure.supxlabel("accuracy on questions to forget (%)", fontsize="medium")
    figure.supylabel("accuracy when perturbed (%)", fontsize="medium")
    legend(figure, {label: handles[label] for label in places})
    return figure


def _draw(axes: Axes, panel: Front, places: Mapping[str, int], handles: dict[str, Any]) -> None:
    for label, (forget, kept) in panel.points.items():
        style = {**line_style(places[label]), "linestyle": "none", "elinewidth": 1}
        handles[label] = axes.errorbar(
            100 * forget.value, 100 * kept.value, xerr=_whiskers(forget), yerr=_whiskers(kept), **style
        )
    for guessed in (axes.axvline, axes.axhline):
        guessed(25, color="black", linewidth=0.8, linestyle=":")
    axes.spines[["top", "right"]].set_visible(False)


def _limits(found: Sequence[Cell]) -> tuple[float, float]:
    """In percent: all values with their whiskers, with some room."""
    low, high = (100 * end for end in (min(one.value - one.error for one in found), max(one.value for one in found)))
    room = 4 + 0.05 * (high - low)
    return max(0, low - room), min(105, high + room)


def _whiskers(found: Cell) -> list[list[float]]:
    """In percent down and up, ending where accuracies do."""
    return [[100 * min(found.error, found.value)], [100 * min(found.error, 1 - found.value)]]
