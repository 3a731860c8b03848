"""The numbers of a report: as markdown, and as JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.questions.statistics import Recovery, mean, recovery_rate
from lit_unlearn.runs.tables import markdown_table

_BESIDE = 2
"""Perturbations of one table."""
_RECOVERING = 2
"""Index of the first model that may give back what the method, the one before, lost."""


class Cell(NamedTuple):
    """An accuracy, 0 to 1."""

    value: float
    error: float
    """Of one run, the standard error over questions; of several seeds, half the 95 % interval of their mean."""


def cell(model: ReportedModel, *variants: str) -> Cell:
    """The accuracy of a model on a variant; over several, each question of a set counts once, with its mean."""
    by_set: dict[str, list[Tensor]] = {}
    for variant in variants:
        by_set.setdefault(variant.partition("/")[0], []).append(model.correct(variant).double())
    correct = torch.cat([torch.stack(found).mean(dim=0) for found in by_set.values()], dim=1)
    if len(correct) == 1:
        one = mean(correct[0])
        return Cell(one.value, one.standard_error or 0.0)
    from scipy.stats import t

    over_seeds = correct.mean(dim=1)
    error = over_seeds.std().item() / len(correct) ** 0.5
    return Cell(over_seeds.mean().item(), float(t.ppf(0.975, len(correct) - 1)) * error)


def recoveries(models: Sequence[ReportedModel], index: int) -> dict[str, Recovery | None]:
    """By perturbed variant, what a model gives back of the accuracy that the method, the second of all, lost."""
    if index < _RECOVERING:
        return {}
    base, method, other = models[0], models[1], models[index]
    common = [seed for seed in method.seeds if seed in other.seeds]
    # Without a common one the runs are still two samples of seeds: any pairing is as good.
    pairs = [(method.seeds.index(seed), other.seeds.index(seed)) for seed in common] or [
        (place, place) for place in range(min(len(method.outcomes), len(other.outcomes)))
    ]
    ours, theirs = zip(*pairs, strict=True)
    return {
        variant: recovery_rate(
            base.correct(variant).expand(len(pairs), -1),
            method.correct(variant)[list(ours)],
            other.correct(variant)[list(theirs)],
        )
        for variant in base.perturbed
    }


def markdown(models: Sequence[ReportedModel]) -> str:
    """A row for each model: accuracy in percent, the drop beyond the control, and what comes back of it.

    Many perturbations are parted into several tables.
    """
    perturbed = models[0].perturbed
    of_perturbed = {*perturbed, *(f"{variant}/control" for variant in perturbed)}
    parts = [perturbed[start : start + _BESIDE] for start in range(0, len(perturbed), _BESIDE)] or [[]]
    tables: list[str] = []
    for part in parts:
        alone = [] if tables else [variant for variant in models[0].variants if variant not in of_perturbed]
        tables.append(_table(models, alone, part))
    return "\n".join([*tables, legend(models), ""])


def compact(models: Sequence[ReportedModel], variants: Sequence[str]) -> str:
    """A row for each model, a column for each variant, the accuracy under its control in brackets."""
    rows = [
        [model.name, *(shown(cell(model, variant)) + _beside(model, variant) for variant in variants)]
        for model in models
    ]
    return f"{markdown_table(['model', *variants], rows)}\n"


def as_json(models: Sequence[ReportedModel]) -> list[dict[str, Any]]:
    """The numbers of every model, and from the third on what it gives back of the second one's loss."""
    return [
        {
            "name": model.name,
            "seeds": len(model.outcomes),
            "accuracy": {variant: cell(model, variant)._asdict() for variant in model.variants},
            "recovery": {variant: found and found._asdict() for variant, found in recoveries(models, index).items()},
        }
        for index, model in enumerate(models)
    ]


def legend(models: Sequence[ReportedModel]) -> str:
    """What ± stands for."""
    seeds = max(len(model.outcomes) for model in models)
    if seeds == 1:
        return "Accuracy in percent ± standard error over questions."
    return f"Accuracy in percent, mean of {seeds} seeds ± 95 % interval of that mean; of a single run ± standard error."


def shown(found: Cell) -> str:
    """In percent."""
    return f"{100 * found.value:.1f} ± {100 * found.error:.1f}"


def excess(model: ReportedModel, variant: str) -> str:
    """Accuracy under the control minus accuracy under the perturbation, in points."""
    return f"{100 * (cell(model, f'{variant}/control').value - cell(model, variant).value):.1f}"


def recovery_shown(found: Recovery | None) -> str:
    """In percent, with its interval."""
    return "n/a" if found is None else f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _beside(model: ReportedModel, variant: str) -> str:
    """The accuracy under the control of a perturbed variant."""
    return f" ({100 * cell(model, f'{variant}/control').value:.1f})" if variant in model.perturbed else ""


def _table(models: Sequence[ReportedModel], alone: Sequence[str], perturbed: Sequence[str]) -> str:
    """Of some variants without a control and some with one."""
    variants = [*alone, *(side for variant in perturbed for side in (variant, f"{variant}/control"))]
    recovering = perturbed if len(models) > _RECOVERING else []
    heads = ["model", *variants]
    heads += [f"drop beyond control: {variant}" for variant in perturbed]
    heads += [f"recovery: {variant}" for variant in recovering]
    rows = []
    for index, model in enumerate(models):
        cells = [shown(cell(model, variant)) for variant in variants]
        cells += [excess(model, variant) for variant in perturbed]
        found = recoveries(models, index)
        cells += [recovery_shown(found[variant]) if variant in found else "" for variant in recovering]
        rows.append([model.name, *cells])
    return f"{markdown_table(heads, rows)}\n"
