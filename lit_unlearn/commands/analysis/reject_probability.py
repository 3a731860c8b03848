"""Theorem 5.2: how often training with noise turns the loss change that a forget token makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.pairs import Pair, question_pairs
from lit_unlearn.commands.analysis.rejection import Asked, Rejection, rejection
from lit_unlearn.commands.analysis.response import Responder, answer_loss
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import bar_style, legend, styled
from lit_unlearn.errors import InputError
from lit_unlearn.running.noise import GaussianNoise

_TEXT = """\
Theorem 5.2 of the RNA paper: P[reject] = 1/2 - arctan(sqrt(η/ν) / s) / π. J is the negative log-likelihood of the \
right answer's letter, ΔJ its change under a forget token. A query is rejected where ΔJ_rna / ΔJ_method ≤ 0: the \
loss that rises in the model trained without noise does not rise in the one trained with it. The share is measured \
over the queries with ΔJ_method > 0 (under the theorem's assumptions it is the same over those with ΔJ_method < 0); \
± is its standard error.

Hidden states are those after the steering layer at all tokens that a query and its perturbed form end with. η is \
the mean square of ε = h_method(perturbed) - h_method(as asked); ν that of δ = h_rna - h_method, over both forms; r \
= ‖g_per‖ / ‖g‖, g the gradient of J in the method's model with respect to these states. The prediction is the mean \
over the same queries, each with its own r. The paper has s = 1 + r; adding the variances of independent normals \
gives s = sqrt(1 + r²).

The theorem takes δ as fresh noise in each form of a query, so that the cosine of the two is 0. With a cosine near 1 \
the two models differ by the same in both, and noise is not what makes the difference."""
_COLUMNS = (
    "queries",
    "with ΔJ > 0",
    "measured",
    "predicted, s = sqrt(1 + r²)",
    "predicted, s = 1 + r (paper)",
    "η",
    "ν",
    "median r",
    "cosine of δ",
    "mean ΔJ, method",
    "mean ΔJ, RNA",
)


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Predicted and measured share of rejected forget tokens.

    Args:
        paths: the run without noise and the one with it.
        words: further options of `fit`.
        count: questions of each set.
        batch_size: queries that run together.

    Raises:
        InputError: a run cannot be used, or the two do not belong together.
    """
    method, rna = open_runs(paths, words)
    _check(method, rna)
    pairs = question_pairs(method, count)
    answers = [_ask(run, pairs, batch_size) for run in (method, rna)]
    found = {
        asked: rejection(answers[0][asked], answers[1][asked], sum(pair.shared for pair in pairs[asked]))
        for asked in pairs
    }
    text = f"{_TEXT}\n\nMethod: {method.name}. RNA: {rna.name}, noise_scale {rna.module.noise_scale}."
    numbers: dict[str, Any] = {
        asked: one._asdict() | {"measured": one.measured._asdict()} for asked, one in found.items()
    }
    rows = [_row(asked, one) for asked, one in found.items()]
    return Section("Rejected forget tokens (Theorem 5.2)", text, _COLUMNS, rows, numbers), _draw(found)


def _check(method: Run, rna: Run) -> None:
    """One run is without noise, the other with it, at one steering layer."""
    if rna.module.noise_unit != "absolute":
        raise InputError(
            f"analyse reject-probability: {rna.path} has noise_unit {rna.module.noise_unit}, and the theorem needs "
            "ν as a number; take a run with noise_unit absolute"
        )
    if not isinstance(rna.module.noise, GaussianNoise):
        raise InputError(
            f"analyse reject-probability: {rna.path} has {rna.module.noise!r}, and the theorem is about Gaussian "
            "noise; take a run with model.noise GaussianNoise"
        )
    scales = (method.module.noise_scale, rna.module.noise_scale)
    if scales[0] != 0 or scales[1] == 0:
        raise InputError(
            f"analyse reject-probability: noise_scale is {scales[0]} in {method.path} and {scales[1]} in {rna.path}; "
            "give first a run without noise, then one with it"
        )
    layers = (method.module.layer, rna.module.layer)
    if layers[0] != layers[1]:
        raise InputError(
            f"analyse reject-probability: {method.path} steers layer {layers[0]}, {rna.path} layer {layers[1]}; give "
            "runs that differ in noise only"
        )


def _ask(run: Run, pairs: Mapping[str, Sequence[Pair]], batch_size: int) -> dict[str, Asked]:
    model = run.load_unlearned()
    responder = Responder(model, run.layers(model), run.module.layer, answer_loss, batch_size=batch_size)
    out = {}
    for asked, found in pairs.items():
        ends = torch.tensor([pair.shared for pair in found])
        out[asked] = Asked(
            responder.respond([pair.default for pair in found], ends, f"{run.name}, as asked"),
            responder.respond([pair.perturbed for pair in found], ends, f"{run.name}, {asked}"),
        )
    return out


def _row(asked: str, found: Rejection) -> list[str]:
    return [
        asked,
        str(found.queries),
        f"{found.measured.value:.3f}" + (f" ± {error:.3f}" if (error := found.measured.standard_error) else ""),
        f"{found.corrected:.3f}",
        f"{found.paper:.3f}",
        f"{found.eta:.3g}",
        f"{found.nu:.3g}",
        f"{found.ratio:.2f}",
        f"{found.cosine:.2f}",
        f"{found.method_change:.3g}",
        f"{found.rna_change:.3g}",
    ]


@styled
def _draw(found: Mapping[str, Rejection]) -> Figure:
    """Bars of the measured share and of both predictions, by perturbation."""
    figure, (axes,) = drawing.panels(1, width=2.4 + 1.5 * len(found))
    shares = {
        "measured": [one.measured.value for one in found.values()],
        "predicted, s = sqrt(1 + r²)": [one.corrected for one in found.values()],
        "predicted, s = 1 + r (paper)": [one.paper for one in found.values()],
    }
    handles = {}
    for place, (name, values) in enumerate(shares.items()):
        at = [group + 0.27 * (place - 1) for group in range(len(found))]
        handles[name] = axes.bar(at, values, 0.27, **bar_style(place))
    errors = [one.measured.standard_error or 0.0 for one in found.values()]
    axes.errorbar(
        [group - 0.27 for group in range(len(found))],
        shares["measured"],
        errors,
        fmt="none",
        color="black",
        linewidth=1,
    )
    axes.set_xticks(range(len(found)), found)
    axes.set(ylabel="share of forget tokens rejected", ylim=(0, None))
    legend(figure, handles, most=1)
    return figure
