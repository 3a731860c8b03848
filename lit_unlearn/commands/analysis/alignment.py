"""Where forget states are steered to: their cosine with the steering vector, against coefficient and layer."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.rows import Streams, batches, stream_rows
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import legend, line_style, styled
from lit_unlearn.data.rows import Row
from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Loss, PerTopic
from lit_unlearn.running.hooks import captured_input
from lit_unlearn.running.partial_forward import run_layers

_TEXT = """\
The layer analysis of Adaptive RMU (Dang et al. 2025): the cosine of forget states with the steering vector of their \
topic, at the steering layer and, since what is written there runs on, at the layers after it. Each number is a mean \
over rows of the mean over tokens, padding left out; layers are indices, their states the residual stream after \
them. The rows are those of the first run's training data. A steering layer at which the cosine stays low was not \
steered; a retain cosine that rises is spill-over."""
_COLUMNS = (
    "model",
    "steering layer",
    "coefficient",
    "forget cosine",
    "at the last layer",
    "retain cosine",
    "mean norm of forget states",
)


class Aligned(NamedTuple):
    """States of one model after each of its layers, `[layers]`."""

    cosine: Tensor
    norm: Tensor


class Steered(NamedTuple):
    """A model, how it was steered, and where its states lie."""

    layer: int
    coefficient: list[float]
    """One for all topics, or one for each; none of the base."""
    forget: Aligned
    retain: Aligned


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Cosines by layer, for the base and each run's unlearned model.

    Args:
        paths: folders of runs, e.g. of a sweep over coefficient or layer.
        words: further options of `fit`.
        count: rows of each stream.
        batch_size: rows that run together.

    Raises:
        InputError: a run cannot be used, or its forget loss has no steering vector.
    """
    runs = open_runs(paths, words)
    for run in runs:
        _check(run)
    rows = stream_rows(runs[0], count)
    found = {BASE: _of_model(runs[0], runs[0].load_base(), rows, batch_size, BASE)._replace(coefficient=[])}
    for run in runs:
        found[run.name] = _of_model(run, run.load_unlearned(), rows, batch_size, run.name)
    numbers = {model: _numbers(one) for model, one in found.items()}
    return Section(
        "Alignment with the steering vector",
        _TEXT,
        _COLUMNS,
        [_row(model, one) for model, one in found.items()],
        numbers,
    ), _draw(found)


@torch.inference_mode()
def aligned(run: Run, model: PreTrainedModel, rows: Sequence[Row], *, batch_size: int, text: str) -> Aligned:
    """Cosine with the run's steering vector, and norm, of a model's states after each layer.

    Args:
        run: whose steering vector.
        model: in eval mode, on the device where it runs.
        rows: of one stream.
        batch_size: rows that run together.
        text: what the progress bar says.
    """
    cosine, norm = [], []
    for batch in batches(rows, batch_size, model.device, text):
        layers = run.layers(model)
        with ExitStack() as stack:
            entered = [stack.enter_context(captured_input(layer)) for layer in layers[1:]]
            outputs, _ = run_layers(model, layers, batch, layer=len(layers) - 1, needs_logits=False, start=0)
        states = [*(seen[0] for seen in entered), outputs.hidden]
        direction = run.module.forget.steering_vector(batch["topic"], outputs.hidden.shape[-1])
        assert direction is not None
        cosine.append(torch.stack([functional.mean_cosine(hidden, direction, batch["loss_mask"]) for hidden in states]))
        norm.append(torch.stack([functional.mean_norm(hidden, batch["loss_mask"]) for hidden in states]))
    return Aligned(*(torch.cat(parts, dim=1).mean(dim=1).cpu() for parts in (cosine, norm)))


def _check(run: Run) -> None:
    loss = run.module.forget
    if loss.steering_vector(torch.tensor([0]), 4) is None:
        raise InputError(f"{run.path}: {type(loss).__name__} steers to no vector; give runs of RMU, AdaptiveRMU or RSV")
    if run.module.state_unit != "absolute":
        raise InputError(
            f"{run.path}: model.state_unit: rms steers states in units of their dimensions, in which this analysis "
            "does not read them; give runs with state_unit: absolute"
        )


def _of_model(run: Run, model: PreTrainedModel, rows: Streams, batch_size: int, name: str) -> Steered:
    forget, retain = (
        aligned(run, model, rows[stream], batch_size=batch_size, text=f"{name}: {stream}")
        for stream in ("forget", "retain")
    )
    return Steered(run.module.layer, _coefficient(run.module.forget), forget, retain)


def _coefficient(loss: Loss) -> list[float]:
    """One for all topics, or one for each: c of RMU and RSV, β of Adaptive RMU."""
    values = next((child.values for child in loss.children() if isinstance(child, PerTopic)), [])
    return values if isinstance(values, list) else [values]


def _numbers(found: Steered) -> dict[str, object]:
    return {
        "layer": found.layer,
        "coefficient": found.coefficient,
        **{
            f"{stream}_{name}": values.tolist()
            for stream, one in (("forget", found.forget), ("retain", found.retain))
            for name, values in one._asdict().items()
        },
    }


def _row(model: str, found: Steered) -> list[str]:
    at = found.layer
    return [
        model,
        str(at),
        ", ".join(f"{value:g}" for value in found.coefficient),
        *(f"{float(one):.3f}" for one in (found.forget.cosine[at], found.forget.cosine[-1], found.retain.cosine[at])),
        f"{float(found.forget.norm[at]):.3g}",
    ]


@styled
def _draw(found: Mapping[str, Steered]) -> Figure:
    """Cosine by layer for each model, and at the steering layer against the coefficient."""
    figure, (by_layer, by_coefficient) = drawing.panels(2)
    handles = {}
    for place, (model, one) in enumerate(found.items()):
        (handles[model],) = by_layer.plot(one.forget.cosine, **line_style(place))
        by_layer.plot(one.retain.cosine, **line_style(place, dashed=True))
    by_layer.set(xlabel="layer", ylabel="cosine with u: forget (solid), retain (dashed)")
    by_layer.xaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_coefficients(by_coefficient, [one for one in found.values() if one.coefficient])
    legend(figure, handles)
    return figure


def _draw_coefficients(axes: Axes, found: Sequence[Steered]) -> None:
    """A dot for each model, those of one steering layer alike."""
    points: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for one in found:
        points[one.layer].append((fmean(one.coefficient), float(one.forget.cosine[one.layer])))
    for place, (layer, of) in enumerate(sorted(points.items())):
        axes.plot(*zip(*of, strict=True), label=f"layer {layer}", **drawing.dot_style(place))
    axes.set(
        xlabel="coefficient", ylabel="forget cosine at the steering layer", ylim=(min(0.0, axes.get_ylim()[0]), 1.05)
    )
    axes.legend(frameon=False)
