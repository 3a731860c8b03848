"""The figure of spill-over: accuracies by where states are replaced, displacements along the query."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.insertion import AS_ASKED, CONTROL, FORMS, PERTURBED
from lit_unlearn.commands.analysis.patching import DISTANCES, POSITIONS
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.style import COLOURS, accuracy_axis, legend, line_style, styled

Numbers = dict[str, Any]
"""As section.json has them."""
_Estimates = Mapping[str, Mapping[str, float] | None]


@styled
def draw(base: Mapping[str, Numbers], found: Mapping[str, Mapping[str, Numbers]]) -> Figure:
    """For each perturbation a panel of accuracies and one of displacements, with the last inserted tokens shaded.

    Args:
        base: accuracies of the base, by set.
        found: what was measured, by model, then set.
    """
    figure, panels = drawing.panels(2, rows=len(base), width=4.8, height=3.1)
    handles: dict[str, Any] = {}
    for name, left, right in zip(base, panels[::2], panels[1::2], strict=True):
        handles[BASE] = left.axhline(100 * base[name][PERTURBED]["value"], color=COLOURS[0], linewidth=1)
        for place, (model, of) in enumerate(found.items(), start=1):
            _draw_accuracy(left, of[name], place, len(found))
            _draw_profile(right, of[name], place)
            handles[model] = Line2D([], [], **_style(place, PERTURBED))
        _decorate(left, right, name, next(iter(found.values()))[name]["last_inserted_tokens"])
    panels[-2].set_xlabel("positions with the base's states")
    panels[-1].set_xlabel("tokens after the last inserted one")
    forms = {form: Line2D([], [], **_style(0, form) | _black(form)) for form in FORMS}
    legend(figure, handles | forms, most=len(handles) + len(forms))
    return figure


def _draw_accuracy(axes: Axes, found: Numbers, place: int, models: int) -> None:
    """A dot with its standard error for each position; beside each other first all models perturbed, then controls."""
    for group, form in enumerate((PERTURBED, CONTROL)):
        values, errors = 100 * _tensors(found[form]["accuracy"])
        shift = 0.7 * ((group * models + place - 0.5) / (2 * models) - 0.5)
        style = _style(place, form) | {"linestyle": "none", "elinewidth": 1, "capsize": 2}
        axes.errorbar(torch.arange(len(POSITIONS)) + shift, values, errors, **style)


def _draw_profile(axes: Axes, found: Numbers, place: int) -> None:
    """A line with its standard error for each form."""
    for form in FORMS:
        values, errors = _tensors(found[form]["profile"])
        style = _style(place, form) | {"markersize": 3}
        axes.plot(DISTANCES, values, **style)
        axes.fill_between(DISTANCES, values - errors, values + errors, color=style["color"], alpha=0.15, linewidth=0)


def _decorate(left: Axes, right: Axes, name: str, inserted: float) -> None:
    accuracy_axis(left)
    left.set(title=name, ylabel="accuracy (%)")
    left.set_xticks(range(len(POSITIONS)), [position.replace(" but ", " but\n") for position in POSITIONS], fontsize=8)
    right.axvspan(0.5 - inserted, 0.5, color="black", alpha=0.08, linewidth=0)
    right.set(title=name, ylabel="displacement (mean norms)", xlim=(DISTANCES[0] - 0.5, None), ylim=(0, None))


def _style(place: int, form: str) -> dict[str, Any]:
    """Solid and filled when perturbed, dashed and hollow under the control, dotted as asked."""
    dotted = {"marker": "", "linestyle": ":"} if form == AS_ASKED else {}
    return {**line_style(place, dashed=form == CONTROL), **dotted}


def _black(form: str) -> dict[str, str]:
    """For a legend of all models."""
    return {"color": "black", "markerfacecolor": "white" if form == CONTROL else "black"}


def _tensors(found: _Estimates) -> Tensor:
    """Values and standard errors `[2, count]`, not a number where there are none."""
    parts = ("value", "standard_error")
    rows = [[math.nan if one is None or one[part] is None else one[part] for one in found.values()] for part in parts]
    return torch.tensor(rows)
