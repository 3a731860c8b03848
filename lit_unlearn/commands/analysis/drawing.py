"""What the figures of the analyses have in common."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_unlearn.commands.report.style import line_style


def panels(count: int, *, rows: int = 1, width: float = 3.9, height: float = 3.7) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in each row, with room for a legend above."""
    figure = Figure(figsize=(width * count, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, count, squeeze=False).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def dot_style(place: int) -> Mapping[str, Any]:
    """Of dots without a line."""
    return {**line_style(place), "linestyle": "none", "alpha": 0.6}
