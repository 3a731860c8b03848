"""Bars of accuracy by question set and model."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from lit_unlearn.commands.report.cells import cell
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.style import accuracy_axis, bar_style, legend, styled

_BARS = 36
"""How many stand beside each other at most."""


@styled
def bars(models: Sequence[ReportedModel], groups: Mapping[str, str]) -> Figure:
    """A group of bars for each variant, a bar for each model, in rows one below the other where there are many.

    Args:
        models: what was asked.
        groups: the variants by what is written below them.
    """
    rows = -(-len(groups) * len(models) // _BARS)
    beside = -(-len(groups) // rows)
    figure = Figure(figsize=(min(9.2, 1.6 + max(1.3, 0.3 * len(models)) * beside), 0.4 + 2.9 * rows))
    figure.set_layout_engine("constrained")
    names = list(groups)
    handles: dict[str, BarContainer] = {}
    for row, axes in enumerate(figure.subplots(rows, squeeze=False).flat):
        within = names[row * beside : (row + 1) * beside]
        _draw(axes, models, {name: groups[name] for name in within}, handles)
        axes.set_xlim(-0.6, beside - 0.4)
    figure.supylabel("accuracy (%)", fontsize="medium")
    legend(figure, handles)
    return figure


def _draw(
    axes: Axes, models: Sequence[ReportedModel], groups: Mapping[str, str], handles: dict[str, BarContainer]
) -> None:
    width = 0.8 / len(models)
    for place, model in enumerate(models):
        found = [cell(model, variant) for variant in groups.values()]
        # Whiskers end where accuracies do.
        within = [one.value for one in found], [1 - one.value for one in found]
        handles[model.name] = axes.bar(
            [group + (place - (len(models) - 1) / 2) * width for group in range(len(groups))],
            [100 * one.value for one in found],
            width,
            yerr=[[100 * min(one.error, room) for one, room in zip(found, rooms, strict=True)] for rooms in within],
            error_kw={"elinewidth": 1},
            **bar_style(place),
        )
    accuracy_axis(axes)
    axes.set_xticks(range(len(groups)), list(groups))
