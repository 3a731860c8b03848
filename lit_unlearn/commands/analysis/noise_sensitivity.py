"""How a model answers to noise on its hidden states: by layer, and in its loss at the steering layer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.noise import DRAWS, SHARE, NoisyModel
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.rows import Streams, batches, stream_rows
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import legend, line_style, styled
from lit_unlearn.data.rows import Row
from lit_unlearn.losses import functional
from lit_unlearn.runs import layout

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations ν of the noise, in root mean squares of a dimension."""
_SMALL = 0.1
"""That at which the curvature is taken."""
_TEXT = f"""\
Rise of the loss: E[ℓ(z + v)] − ℓ(z) of the RNA paper's Eq. 9, ℓ the NLL of a row in nats per token, z the states \
after the steering layer, v ~ N(0, ν²I) at every token. ν is in root mean squares of a dimension of the base's retain \
states there, each row's first token left out. Each number is a mean over rows ± its standard error; {DRAWS} draws of \
v for each row, each with both signs. In brackets is the second-order prediction ν²/2 · tr ∇²ℓ(z), from the rise at ν \
{_SMALL:g} rms. Where the two differ, the paper's expansion does not hold at that ν; a negative rise means that noise \
lowers the loss.

Φ: noise sensitivity of the layers above one, E‖g(h + v) − g(h)‖² / ‖g(h)‖² over E‖v‖² / ‖h‖² = {SHARE**2:g}, h the \
state after that layer, g what the layers above it make of it, a mean over tokens without each row's first. It is the \
quantity of Arora et al. (2018), by which Adaptive RMU (Dang et al. 2025, Fig. 1) compares layers; that paper's own \
normalisation may differ. 1: relative noise arrives as it was added; below 1: it is damped. The table has the \
steering layer's, the figure and {layout.SECTION} all."""


class Response(NamedTuple):
    """What noise does to one model on one stream, `[..., rows]`."""

    nll: Tensor
    """`[rows]`."""
    rise: Tensor
    """`[scales, rows]`, of the loss."""
    curvature: Tensor
    """`[rows]`: the second-order rise is ν² times this, ν in rms."""
    phi: Tensor
    """`[layers - 1, rows]`: Φ of the noise after each layer but the last."""


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Φ by layer and the rise of the loss, for the base and each run's unlearned model.

    Args:
        paths: folders of runs; or one config, of which the base alone is measured.
        words: further options of `fit`.
        count: rows of each topic.
        batch_size: rows that run together.

    Raises:
        InputError: a run or a config cannot be used.
    """
    config = len(paths) == 1 and not paths[0].is_dir()
    runs = [Run(paths[0], words)] if config else open_runs(paths, words)
    rows, base = stream_rows(runs[0], count), runs[0].load_base()
    rms = {run.module.layer: _rms(run, base, rows["retain"], batch_size) for run in runs}
    found = {BASE: _of_model(runs[0], base, rows, rms, batch_size, BASE)}
    del base
    for run in [] if config else runs:
        found[run.name] = _of_model(run, run.load_unlearned(), rows, rms, batch_size, run.name)
    section = Section(
        "Sensitivity to noise",
        _TEXT,
        ("model", "stream", "NLL", *(f"ν {scale:g} rms" for scale in SCALES), "Φ"),
        [
            _row(model, stream, one, run.module.layer)
            for (model, of), run in zip(found.items(), [runs[0], *runs], strict=False)
            for stream, one in of.items()
        ],
        {model: {stream: _numbers(one) for stream, one in of.items()} for model, of in found.items()}
        | {"scales": SCALES, "rms": {str(layer): value for layer, value in rms.items()}},
    )
    return section, _draw(found)


@torch.inference_mode()
def response(noisy: NoisyModel, rows: Sequence[Row], *, layer: int, rms: float, batch_size: int, text: str) -> Response:
    """What noise does to a model.

    Args:
        noisy: the model.
        rows: of one stream.
        layer: index of the steering layer.
        rms: root mean square of a dimension of the base's states there.
        batch_size: rows that run together.
        text: what the progress bar says.
    """
    parts = []
    for batch in batches(rows, batch_size, noisy.model.device, text):
        small, *rise = noisy.loss_rise(batch, layer, [scale * rms for scale in (_SMALL, *SCALES)])
        phi = [noisy.sensitivity(batch, below) for below in range(len(noisy.layers) - 1)]
        parts.append((noisy.nll(batch), torch.stack(rise), small / _SMALL**2, torch.stack(phi)))
    return Response(*(torch.cat(part, dim=-1).cpu() for part in zip(*parts, strict=True)))


def _of_model(
    run: Run, model: PreTrainedModel, rows: Streams, rms: Mapping[int, float], batch_size: int, name: str
) -> dict[str, Response]:
    noisy, layer = NoisyModel(model, run.layers(model)), run.module.layer
    return {
        stream: response(noisy, of, layer=layer, rms=rms[layer], batch_size=batch_size, text=f"{name}: {stream}")
        for stream, of in rows.items()
    }


@torch.inference_mode()
def _rms(run: Run, base: PreTrainedModel, rows: Sequence[Row], batch_size: int) -> float:
    """Root mean square of a dimension of the states after the run's steering layer, without each row's first token."""
    noisy, squares, count = NoisyModel(base, run.layers(base)), 0.0, 0
    for batch in batches(rows, batch_size, base.device, "unit of noise"):
        counted = functional.without_first(batch["loss_mask"], batch["attention_mask"]).bool()
        states = noisy.states(batch, run.module.layer)[counted]
        squares, count = squares + float(states.double().square().sum()), count + states.numel()
    return float((squares / max(count, 1)) ** 0.5)


def _mean(values: Tensor) -> tuple[float, float | None]:
    """Mean over rows `[rows]` and its standard error, None of a single row."""
    exact = values.double()
    error = float(exact.std() / len(exact) ** 0.5) if len(exact) > 1 else None
    return float(exact.mean()), error


def _numbers(found: Response) -> dict[str, object]:
    rises = [_mean(rise) for rise in found.rise]
    curvature = _mean(found.curvature)
    phi = [_mean(of) for of in found.phi]
    return {
        "rows": len(found.nll),
        "nll": _mean(found.nll)[0],
        "rise": [mean for mean, _ in rises],
        "rise_error": [error for _, error in rises],
        "predicted": [scale**2 * curvature[0] for scale in SCALES],
        "predicted_error": [None if curvature[1] is None else scale**2 * curvature[1] for scale in SCALES],
        "phi": [mean for mean, _ in phi],
        "phi_error": [error for _, error in phi],
    }


def _row(model: str, stream: str, found: Response, layer: int) -> list[str]:
    predicted = _mean(found.curvature)[0]
    phi = f"{float(found.phi[layer].mean()):.2f}" if layer < len(found.phi) else "n/a"  # nothing is above the last
    cells = [f"{_shown(rise)} ({scale**2 * predicted:+.3f})" for scale, rise in zip(SCALES, found.rise, strict=True)]
    return [model, stream, f"{float(found.nll.mean()):.3f}", *cells, phi]


def _shown(rise: Tensor) -> str:
    mean, error = _mean(rise)
    return f"{mean:+.3f}" if error is None else f"{mean:+.3f} ± {error:.3f}"


@styled
def _draw(found: Mapping[str, Mapping[str, Response]]) -> Figure:
    """Φ by layer, and of each stream the rise of the loss against ν, with its prediction."""
    figure, (layers, *rises) = drawing.panels(3)
    handles = {}
    for place, (model, of) in enumerate(found.items()):
        for axes, (stream, one) in zip(rises, of.items(), strict=True):
            layers.plot(one.phi.mean(dim=-1), **line_style(place, dashed=stream == "retain"))
            (handles[model],) = axes.plot(SCALES, one.rise.mean(dim=-1), **line_style(place))
            predicted = [scale**2 * float(one.curvature.mean()) for scale in SCALES]
            axes.plot(SCALES, predicted, **line_style(place, dashed=True))
            _decorate(axes, f"{stream}: rise, second order (dashed)")
    layers.set(xlabel="layer after which noise enters", ylabel="Φ: forget, retain (dashed)", ylim=(0, None))
    layers.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, handles)
    return figure


def _decorate(axes: Axes, name: str) -> None:
    """Logarithmic axes with plain numbers, of the rise near 0 linear."""
    axes.set(xlabel="ν, in rms", ylabel=name, xscale="log")
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_xticks(SCALES)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
