"""Figure of forgetting against robustness: a point for each model, so that they can be compared at equal forgetting."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_unlearn.commands.report.cells import Cell, cell, mean_cell
from lit_unlearn.commands.report.forgetting import NLL, Measure, measured
from lit_unlearn.commands.report.insertions import PREFIX, excess_cell, insertions
from lit_unlearn.commands.report.repair import Comparison, interpolation_curve
from lit_unlearn.commands.report.runs import ReportedModel, forget_sets, retained
from lit_unlearn.commands.report.style import legend, line_style, styled


class Placed(NamedTuple):
    """One model."""

    forget: Cell
    """How far it has forgotten: the measure in nats, or the accuracy on the questions to forget."""
    kept: Cell
    """Accuracy on perturbed questions to retain; or excess of insertions, in nats."""
    hollow: bool = False
    """Whether it has not forgotten as much as the method."""


class Front(NamedTuple):
    """Models to be seen together."""

    title: str
    points: Mapping[str, Placed]
    """By the model's label."""
    measure: Measure | None = None
    """Of forgetting; None for the accuracy on the questions to forget."""
    curve: Sequence[Placed] = ()
    """The method's own interpolated weights, from the base on."""
    nats: bool = False
    """Whether the vertical axis is excess: down is better."""


def fronts(models: Sequence[ReportedModel], compared: Comparison) -> list[Front]:
    """Over all perturbations of the sets to retain together: under them, and under their controls."""
    perturbed = retained(models)
    if not forget_sets(models) or not perturbed:
        return []
    known = all(measured(model.records, compared.measure, forget_sets(models)) is not None for model in models)
    measure = compared.measure if known else None
    kinds = {"forget text": perturbed, "retain text (control)": [f"{variant}/control" for variant in perturbed]}
    return [_front_of(models, compared, title, variants, measure) for title, variants in kinds.items()]


def insertion_fronts(models: Sequence[ReportedModel], compared: Comparison) -> list[Front]:
    """Excess against the NLL of held-out forget rows, a panel for each kind of insertion."""
    if any(measured(model.records, NLL, ()) is None for model in models):
        return []
    curve = interpolation_curve(compared.method) if compared.method else []
    found = []
    for name in insertions([*models, *curve]):
        points = {
            model.name: Placed(_forgotten(model, models, NLL), excess_cell(model, name), row.equal is False)
            for model, row in zip(models, compared.rows, strict=True)
        }
        along = [Placed(_forgotten(point, models, NLL), excess_cell(point, name)) for point in curve]
        found.append(Front(name.removeprefix(PREFIX), points, NLL, along, nats=True))
    return found


@styled
def front(panels: Sequence[Front]) -> Figure:
    """The panels, up to three in a row: up is better (of excess, down), left is forgotten better.

    Args:
        panels: what to draw, all with one measure; points of one label look alike in all.
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
    points = [point for panel in panels for point in (*panel.points.values(), *panel.curve)]
    (measure,) = {panel.measure for panel in panels}
    low, high = _limits([point.forget for point in points], measure)
    every[0].set_xlim((high, low) if measure and measure.rises else (low, high))
    nats = panels[0].nats
    every[0].set_ylim(_limits([point.kept for point in points], measure if nats else None))
    figure.supxlabel(axis_label(measure), fontsize="medium")
    figure.supylabel("excess (nats per token)" if nats else "accuracy when perturbed (%)", fontsize="medium")
    legend(figure, {label: handles[label] for label in places})
    return figure


def axis_label(measure: Measure | None) -> str:
    """What x is."""
    if measure is None:
        return "accuracy on questions to forget (%)"
    return f"{measure.described} (nats)"


def _front_of(
    models: Sequence[ReportedModel],
    compared: Comparison,
    title: str,
    variants: Sequence[str],
    measure: Measure | None,
) -> Front:
    points = {
        model.name: Placed(
            _forgotten(model, models, measure), cell(model, *variants), measure is not None and row.equal is False
        )
        for model, row in zip(models, compared.rows, strict=True)
    }
    points_of_curve = interpolation_curve(compared.method) if compared.method and measure else []
    curve = [Placed(_forgotten(point, models, measure), cell(point, *variants)) for point in points_of_curve]
    return Front(title, points, measure, curve)


def _forgotten(model: ReportedModel, models: Sequence[ReportedModel], measure: Measure | None) -> Cell:
    forget = forget_sets(models)
    numbers = measured(model.records, measure, forget) if measure else None
    return cell(model, *forget) if numbers is None else mean_cell(torch.from_numpy(numbers))


def _draw(axes: Axes, panel: Front, places: Mapping[str, int], handles: dict[str, Any]) -> None:
    unit, scale = 1 if panel.measure else 100, 1 if panel.nats else 100
    for label, (forget, kept, hollow) in panel.points.items():
        style = {**line_style(places[label], dashed=hollow), "linestyle": "none", "elinewidth": 1}
        xerr = [[forget.error]] * 2 if panel.measure else _whiskers(forget)
        yerr = [[kept.error]] * 2 if panel.nats else _whiskers(kept)
        drawn = axes.errorbar(unit * forget.value, scale * kept.value, xerr=xerr, yerr=yerr, **style)
        handles.setdefault(label, drawn)
    if panel.curve:
        xs, ys = zip(*((point.forget.value, scale * point.kept.value) for point in panel.curve), strict=True)
        axes.plot(xs, ys, color="0.6", linewidth=0.8, zorder=0)
    axes.axhline(0 if panel.nats else 25, color="black", linewidth=0.8, linestyle=":")
    if panel.measure is None:
        axes.axvline(25, color="black", linewidth=0.8, linestyle=":")
    axes.spines[["top", "right"]].set_visible(False)


def _limits(found: Sequence[Cell], measure: Measure | None) -> tuple[float, float]:
    """All values with their whiskers, with some room; accuracies in percent."""
    unit = 1 if measure else 100
    low, high = unit * min(one.value - one.error for one in found), unit * max(one.value for one in found)
    if measure:
        high = max(one.value + one.error for one in found)
        room = 0.1 + 0.06 * (high - low)
        return low - room, high + room
    room = 4 + 0.05 * (high - low)
    return max(0, low - room), min(105, high + room)


def _whiskers(found: Cell) -> list[list[float]]:
    """In percent down and up, ending where accuracies do."""
    return [[100 * min(found.error, found.value)], [100 * min(found.error, 1 - found.value)]]
