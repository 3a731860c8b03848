"""Line figures: accuracy with bands of its error, a panel beside the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_unlearn.commands.report.series import CONTROL, Line, Panel
from lit_unlearn.commands.report.style import accuracy_axis, legend, line_style, styled


@styled
def curves(panels: Sequence[Panel], *, xlabel: str, log_above: float | None = None) -> Figure:
    """The panels, up to three in a row, with one y axis and one legend.

    Args:
        panels: what to draw; lines of one label look alike in all.
        xlabel: what x is.
        log_above: ticks stand at the values of x that fit, and the axis is logarithmic where they span
            more than this factor; None has ticks at round numbers.
    """
    beside = min(3, len(panels))
    rows = -(-len(panels) // beside)
    figure = Figure(figsize=((6.4, 8.4, 9.2)[beside - 1], 0.5 + 2.5 * rows), layout="constrained")
    every = list(figure.subplots(rows, beside, sharey=True, squeeze=False).flat)
    handles: dict[str, Any] = {}
    for axes, panel in zip(every, panels, strict=False):
        _draw(axes, panel, _places(panels), handles)
        axes.set_title(panel.title, fontsize="medium")
        axes.set_xlabel(xlabel)
        if log_above is not None:
            _place_ticks(axes, sorted({x for line in panel.lines for x in line.cells}), log_above)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    figure.supylabel("accuracy (%)", fontsize="medium")
    legend(figure, handles)
    return figure


def _places(panels: Sequence[Panel]) -> dict[str, int]:
    """A number for each label; a control has that of its perturbation."""
    labels = dict.fromkeys(line.label.removesuffix(CONTROL) for panel in panels for line in panel.lines)
    return {label: place for place, label in enumerate(labels)}


def _draw(axes: Axes, panel: Panel, places: dict[str, int], handles: dict[str, Any]) -> None:
    for line in panel.lines:
        place = places[line.label.removesuffix(CONTROL)]
        style = line_style(place, dashed=line.label.endswith(CONTROL))
        xs, values, errors = _arrays(line)
        low, high = (values - errors).clip(min=0), (values + errors).clip(max=100)
        axes.fill_between(xs, low, high, color=style["color"], alpha=0.18, linewidth=0)
        (handles[line.label],) = axes.plot(xs, values, **style)
    accuracy_axis(axes)


def _arrays(line: Line) -> tuple[Any, Any, Any]:
    """x, and in percent the accuracy and its error."""
    cells = list(line.cells.values())
    percent = 100 * np.array([(one.value, one.error) for one in cells])
    return np.array(list(line.cells)), percent[:, 0], percent[:, 1]


def _place_ticks(axes: Axes, values: Sequence[float], log_above: float) -> None:
    positive = [value for value in values if value > 0]
    if values[0] >= 0 and positive[-1] > log_above * positive[0]:
        # A 0 has its place left of the smallest value.
        axes.set_xscale("symlog", linthresh=positive[0]) if values[0] == 0 else axes.set_xscale("log")
    shown = _apart(axes, values)
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.minorticks_off()


def _apart(axes: Axes, values: Sequence[float]) -> list[float]:
    """The values whose labels do not touch."""
    places = axes.xaxis.get_transform().transform(np.array(values))
    span = places[-1] - places[0]
    shown: list[int] = []
    for index, place in enumerate(places):
        if not shown or place - places[shown[-1]] > 0.07 * span:
            shown.append(index)
    return [values[index] for index in shown]
