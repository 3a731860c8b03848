"""Theorem 4.3: how a forget token's effect on the hidden states reaches the output."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm
from torch import Tensor

from lit_unlearn.commands.analysis import drawing, theory
from lit_unlearn.commands.analysis.association import correlation, shown
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.pairs import Pair, question_pairs
from lit_unlearn.commands.analysis.response import Responder, right_logit
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import legend, line_style, styled
from lit_unlearn.errors import InputError

_TEXT = """\
Theorem 4.3 of the RNA paper: if a forget token adds ε ~ N(0, ηI) to the hidden states (Assumption 4.2), the output \
changes by a normal variable of mean 0 and variance η·JᵀJ. Here the output is the logit of the right answer's \
letter, the hidden states are those after the steering layer at all tokens that the query and its perturbed form end \
with, J is the output's gradient with respect to them, and η is the mean square of ε. Variances are mean squares, \
since the theorem's mean is 0.

Read a row from left to right, each column drops an assumption. η·JᵀJ: the theorem. J·ε: ε as it is instead of \
isotropic noise, output still linear. shared tokens: the output with exactly these states exchanged. whole query: \
the replaced tokens' own states change too. Rank correlation is over queries, of sqrt(η·JᵀJ) with the size of the \
whole change.

Assumption 4.2, of which the right-hand columns are: a mean share of 0 (1: always the same shift), as many \
dimensions as the same number of draws of isotropic noise spread over (in brackets), skewness and excess kurtosis 0."""
_COLUMNS = (
    "model",
    "queries",
    "η",
    "η·JᵀJ",
    "J·ε",
    "shared tokens",
    "whole query",
    "rank correlation",
    "mean share of ε",
    "dimensions of ε",
    "skewness of ε",
    "kurtosis of ε",
)


class Changes(NamedTuple):
    """What a perturbation did to one model, over queries `[queries]` or, of `effect`, over tokens `[tokens, dim]`."""

    effect: Tensor
    """ε at every shared token."""
    eta: float
    predicted: Tensor
    """Standard deviation sqrt(η·JᵀJ) of the output change."""
    first_order: Tensor
    """J·ε."""
    shared: Tensor
    """Output change with the shared tokens' states exchanged."""
    whole: Tensor
    """Output change of the whole perturbed query."""


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Predicted and measured variance of the output, for the base and each run's unlearned model.

    Args:
        paths: folders of runs.
        words: further options of `fit`.
        count: questions of each set.
        batch_size: queries that run together.

    Raises:
        InputError: a run cannot be used.
    """
    runs = open_runs(paths, words)
    pairs = question_pairs(runs[0], count)
    found: dict[str, dict[str, Changes]] = {BASE: _of_model(runs[0], None, pairs, batch_size)}
    for run in runs:
        found[run.name] = _of_model(runs[0], run, pairs, batch_size)
    numbers = {model: {asked: _numbers(one) for asked, one in of.items()} for model, of in found.items()}
    rows = [_row(model, asked, one) for model, of in numbers.items() for asked, one in of.items()]
    section = Section("Variance of the output (Theorem 4.3)", _TEXT, _COLUMNS, rows, numbers)
    return section, _draw(found, next(reversed(pairs)))


def changes(responder: Responder, pairs: Sequence[Pair], text: str) -> Changes:
    """What a perturbation does to one model.

    Args:
        responder: the model, with the output as its value.
        pairs: the queries.
        text: the model's name, for progress bars.

    Raises:
        InputError: the perturbation changes no hidden state.
    """
    default, perturbed = [pair.default for pair in pairs], [pair.perturbed for pair in pairs]
    ends = torch.tensor([pair.shared for pair in pairs])
    before = responder.respond(default, ends, f"{text}, as asked")
    after = responder.respond(perturbed, ends, f"{text}, perturbed")
    effect = after.hidden - before.hidden
    eta = theory.variance(effect, int(ends.sum()) * effect.shape[-1])
    if eta == 0:
        raise InputError(f"analyse output-variance: {text}: no hidden state changes; give another perturbation")
    exchanged = responder.displaced(default, effect, f"{text}, states exchanged")
    counted = torch.arange(effect.shape[1], 0, -1) <= ends[:, None]
    return Changes(
        effect=effect[counted],
        eta=eta,
        predicted=(eta * theory.squared_norm(before.gradient)).sqrt(),
        first_order=theory.first_order(before.gradient, effect),
        shared=exchanged - before.value,
        whole=after.value - before.value,
    )


def _of_model(first: Run, run: Run | None, pairs: Mapping[str, Sequence[Pair]], batch_size: int) -> dict[str, Changes]:
    """What each perturbation does to a run's model, or to the base: at the steering layer of the run itself."""
    opened = run or first
    model = opened.load_base() if run is None else opened.load_unlearned()
    name = BASE if run is None else run.name
    responder = Responder(model, opened.layers(model), opened.module.layer, right_logit, batch_size=batch_size)
    return {asked: changes(responder, found, f"{name}: {asked}") for asked, found in pairs.items()}


def _numbers(found: Changes) -> Mapping[str, float | None]:
    """Everything about one model and perturbation, unrounded."""
    squares = {
        "predicted": found.predicted,
        "first_order": found.first_order,
        "shared_tokens": found.shared,
        "whole_query": found.whole,
    }
    return {
        "questions": len(found.whole),
        "eta": found.eta,
        **{name: values.double().square().mean().item() for name, values in squares.items()},
        "mean_change": found.whole.mean().item(),
        "rank_correlation": correlation(found.predicted, found.whole.abs(), ranks=True),
        **theory.normality(found.effect)._asdict(),
    }


def _row(model: str, asked: str, numbers: Mapping[str, float | None]) -> list[str]:
    return [
        model,
        asked,
        *(f"{numbers[name]:.3g}" for name in ("eta", "predicted", "first_order", "shared_tokens", "whole_query")),
        shown(numbers["rank_correlation"]),
        f"{numbers['mean_share']:.2f}",
        f"{numbers['dimensions']:.1f} ({numbers['expected_dimensions']:.0f})",
        *(f"{numbers[name]:.1f}" for name in ("skewness", "kurtosis")),
    ]


@styled
def _draw(found: Mapping[str, Mapping[str, Changes]], asked: str) -> Figure:
    """Of one perturbation: predicted against measured change, and normality of ε and of the output change."""
    figure, (scatter, states, outputs) = drawing.panels(3)
    handles = {}
    for place, (model, of) in enumerate(found.items()):
        one = of[asked]
        (handles[model],) = scatter.plot(one.predicted, one.whole.abs(), **drawing.dot_style(place))
        for axes, values in ((states, one.effect.flatten() / one.eta**0.5), (outputs, one.whole / one.predicted)):
            axes.plot(*_quantiles(values), markevery=20, **line_style(place))
    _decorate(scatter, "predicted: sqrt(η·JᵀJ)", "change of the right letter's logit")
    scatter.set(xscale="log", yscale="log", title=asked)
    for axis in (scatter.xaxis, scatter.yaxis):
        axis.set_major_formatter("{x:g}")
    for axes, name in ((states, "ε / sqrt(η)"), (outputs, "change / sqrt(η·JᵀJ)")):
        _decorate(axes, "quantiles of the normal distribution", f"quantiles of {name}")
        axes.set(xlim=(-3, 3), ylim=(-6, 6))
    legend(figure, handles)
    return figure


def _decorate(axes: Axes, x: str, y: str) -> None:
    """Where prediction and measurement agree."""
    axes.axline((1, 1), (2, 2), color="black", linewidth=0.8)
    axes.set(xlabel=x, ylabel=y)


def _quantiles(values: Tensor) -> tuple[list[float], list[float]]:
    """Normal quantiles and those of the values."""
    shares = torch.linspace(0.005, 0.995, 199, dtype=torch.double)
    # torch.quantile refuses many values.
    places = (shares * (len(values) - 1)).round().long()
    return norm.ppf(shares).tolist(), values.double().sort().values[places].tolist()
