"""How figures look: colours, hatches, markers and lines that stay apart for colour-blind readers and in grey print."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#555555", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's."""
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
styled = mpl.rc_context(
    {
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "lit-unlearn",  # the same figure is the same file
        "text.parse_math": False,  # a name with $ is a name
    }
)
"""Decorates what makes or writes a figure."""


def bar_style(place: int) -> Mapping[str, Any]:
    """Of the bars of one model; no two of the first 49 places are alike."""
    hatch = _HATCHES[_turned(place)]
    return {"color": COLOURS[place % len(COLOURS)], "hatch": hatch, "edgecolor": "white"}


def line_style(place: int, *, dashed: bool = False) -> Mapping[str, Any]:
    """Of one line; a dashed one goes with the solid one of its place."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": _MARKERS[_turned(place)],
        "markersize": 4.5,
        "markerfacecolor": "white" if dashed else COLOURS[place % len(COLOURS)],
        "linestyle": "--" if dashed else "-",
        "linewidth": 1.4,
    }


def accuracy_axis(axes: Axes) -> None:
    """The y axis of all figures: percent, with a dotted line where one of four options is guessed."""
    axes.axhline(25, color="black", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 105)
    axes.set_yticks(range(0, 101, 25))
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, handles: Mapping[str, Any], *, most: int = 6) -> None:
    """One legend above all panels, which keep their height, in as many columns as its names leave room for."""
    room = int(11 * figure.get_figwidth() / (max(map(len, handles)) + 6))
    columns = max(1, min(len(handles), room, most))
    rows = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.21 * rows)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=columns, frameon=False)


@styled
def encoded(figure: Figure, kind: str) -> bytes:
    """A figure as a file of a kind: png or svg."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()


def _turned(place: int) -> int:
    """Another hatch or marker when the colours begin again."""
    return (place + place // len(COLOURS)) % len(_HATCHES)
