"""Figures of strays: how well planted rows are found, and where the rows of each class lie."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.strays.accuracy import Accuracy, Draw
from lit_unlearn.commands.analysis.strays.precision import precision_recall
from lit_unlearn.commands.analysis.strays.scores import TRIVIAL
from lit_unlearn.commands.report.style import COLOURS, bar_style, legend, line_style, styled

_INFLUENCE = ("gradient dot", "influence by class")
"""Drawn beside the trivial scores."""


@styled
def draw(
    draws: Sequence[Draw], found: Accuracy, score: str, values: Tensor, labels: Tensor, names: Sequence[str]
) -> Figure:
    """Precision against recall on planted rows, and a histogram of one score for each class with listed rows marked.

    Args:
        draws: of planted rows; the first is drawn.
        found: their average precision.
        score: the name of the score.
        values: that of each row under the labels as given.
        labels: class of each row.
        names: of the classes.
    """
    figure, (curves, *panels) = drawing.panels(1 + len(names))
    handles = {}
    for place, name in enumerate((*TRIVIAL, *_INFLUENCE)):
        curve = precision_recall(draws[0].scores[name], draws[0].wrong)
        style = {**line_style(place), "marker": None}
        (handles[name],) = curves.plot(curve.recall, curve.precision, **style)
    handles["chance"] = curves.axhline(found.chance, color="black", linewidth=0.8, linestyle=":")
    curves.set(xlabel="recall of planted rows", ylabel="precision", ylim=(0, 1.05))
    bins = torch.linspace(float(values.min()), float(values.max()) + 1e-9, 31).tolist()
    for label, (name, axes) in enumerate(zip(names, panels, strict=True)):
        own = values[labels == label]
        axes.hist(own, bins=bins, **bar_style(label + 1))
        listed = own[own <= found.threshold]
        marks: dict[str, Any] = {"linestyle": "none", "marker": "|", "markersize": 14, "color": COLOURS[6]}
        (handles["listed"],) = axes.plot(listed, torch.zeros(len(listed)), **marks)
        axes.set(xlabel=score, ylabel="rows", title=name)
    legend(figure, handles)
    return figure
