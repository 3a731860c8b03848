"""The figure of `scale`: norms by layer, and what the trainings did."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_unlearn.commands.report.style import line_style
from lit_unlearn.commands.scale.find import Found
from lit_unlearn.commands.scale.layers import candidates
from lit_unlearn.runs.atomic_files import replacing


def draw(found: Found, path: Path) -> None:
    """Writes the figure."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    layers, trainings = figure.subplots(1, 2)
    for axes in (layers, trainings):
        axes.spines[["top", "right"]].set_visible(False)
    _draw_layers(layers, found)
    _draw_trainings(trainings, found)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150)


def _draw_layers(axes: Axes, found: Found) -> None:
    places = candidates(len(found.layers))
    axes.axvspan(places.start - 0.5, places.stop - 0.5, color="0.92", label="a quarter to a third")
    for place, (name, values) in enumerate(
        (
            ("without the first token", [one.norm for one in found.layers]),
            ("the first token", [one.first_norm for one in found.layers]),
        )
    ):
        axes.plot(values, label=name, **line_style(place))
    axes.axvline(found.settings.layer, color="0.4", linewidth=0.8)
    axes.set(yscale="log", xlabel=f"layer (taken: {found.settings.layer})", ylabel="mean norm of the hidden states")
    axes.legend(frameon=False, fontsize="small")


def _draw_trainings(axes: Axes, found: Found) -> None:
    for place, probe in enumerate(found.probes):
        if probe.forget is None or probe.retain is None:
            continue
        label = f"lr {probe.learning_rate:.2g}, retain weight {probe.retain_weight:g}"
        style = {**line_style(place), "linestyle": "none", "marker": "*" if probe is found.best else "o"}
        axes.plot([probe.retain.rise], [probe.forget.rise], label=label, **style)
    seen = [(one.retain.rise, one.forget.rise) for one in found.probes if one.retain and one.forget]
    costs, gains = zip((0.0, 0.0), (2 * found.aim.retain, 1.5 * found.aim.forget), *seen, strict=True)
    axes.set(xlim=_around(costs), ylim=_around(gains))
    axes.axhspan(found.aim.forget, axes.get_ylim()[1], xmax=_place(axes, found.aim.retain), color="0.92", zorder=0)
    axes.set(xlabel="retain NLL, rise in nats per token", ylabel="forget NLL, rise in nats per token")
    axes.set_title("held-out rows; grey: what is asked for", fontsize="medium")
    axes.legend(frameon=False, fontsize="small", loc="lower right")


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis with all values well inside."""
    margin = 0.08 * (max(values) - min(values))
    return min(values) - margin, max(values) + margin


def _place(axes: Axes, value: float) -> float:
    """Where a value is on the x axis, from 0 to 1."""
    left, right = axes.get_xlim()
    return (value - left) / (right - left)
