"""The figure of a card: dots with intervals, a line for each attack."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.report.style import legend, line_style, styled

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.commands.attack.card import CardRow

_PANELS = {
    "forget_accuracy": "forget accuracy (%)",
    "answer_probability": "probability of the answer (%)",
    "retain_accuracy": "retain accuracy (%)",
    "perturbed_accuracy": "perturbed accuracy (%)",
}
_LINE = 0.3
"""Inches for each attack."""


@styled
def draw(rows: "Sequence[CardRow]") -> Figure:
    """A panel for each of four measures, in it a line for each attack and a dot for each model."""
    titles = list(dict.fromkeys(row.title for row in rows))
    models = list(dict.fromkeys(row.model for row in rows))
    height = max(2.2, _LINE * len(titles) * max(1.0, 0.4 * len(models)) + 0.9)
    figure, panels = drawing.panels(len(_PANELS), width=3.2, height=height)
    handles = {}
    for axes, (measure, label) in zip(panels, _PANELS.items(), strict=True):
        for place, model in enumerate(models):
            own = [row for row in rows if row.model == model and measure in row.measures]
            found = [row.measures[measure] for row in own]
            handles[model] = axes.errorbar(
                [100 * one.value for one in found],
                [titles.index(row.title) + 0.6 * ((place + 0.5) / len(models) - 0.5) for row in own],
                xerr=[100 * (one.half or 0) for one in found],
                **{**line_style(place), "linestyle": "none"},
                elinewidth=1,
            )
        if measure != "answer_probability":
            axes.axvline(25, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlim=(-3, 103), ylim=(len(titles) - 0.5, -0.5), xlabel=label, yticks=range(len(titles)))
        axes.set_yticklabels(titles if axes is panels[0] else [])
        axes.grid(axis="y", linewidth=0.3)
    legend(figure, handles)
    return figure
