"""Bars of accuracy by question set and model, as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from lit_unlearn.report import Model

COLOURS = ("#555555", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's, which stay apart for colour-blind readers and in print."""
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")


def draw(models: Sequence[Model], folder: Path) -> None:
    """Writes accuracy.png and accuracy.svg: a group of bars per question set and variant, a bar per model."""
    variants = list(models[0].measured)
    figure = Figure(figsize=(1.2 + 1.5 * len(variants), 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(models)
    for place, model in enumerate(models):
        rows = [model.measured[variant] for variant in variants]
        axes.bar(
            [group + (place - (len(models) - 1) / 2) * width for group in range(len(variants))],
            [100 * (row["accuracy"] or 0) for row in rows],
            width,
            yerr=[100 * (row["accuracy_error"] or 0) for row in rows],
            label=model.name,
            color=COLOURS[place % len(COLOURS)],
            hatch=_HATCHES[place % len(_HATCHES)],
            edgecolor="white",
            error_kw={"elinewidth": 1},
        )
    axes.axhline(25, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(variants)), [variant.replace("/", "\n") for variant in variants])
    axes.set_ylabel("accuracy (%), ± standard error")
    axes.set_ylim(0, 105)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(models), 4), frameon=False)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"accuracy.{kind}", dpi=150)
