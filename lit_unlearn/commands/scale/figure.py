"""The figure of `scale`: norms by layer, and what the trainings did."""

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
    axes.axhline(found.aim.forget, color="0.6", linewidth=0.8)
    axes.axvline(found.aim.retain, color="0.6", linewidth=0.8)
    axes.set(
        xlabel="retain NLL, rise in nats per token",
        ylabel="forget NLL, rise",
        title="held-out rows; asked for: upper left",
    )
    axes.legend(frameon=False, fontsize="small")
