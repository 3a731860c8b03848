"""Means with their uncertainty, as they stand in tables and figures."""

from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.commands.report.numerals import rounded
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.questions.statistics import mean


class Cell(NamedTuple):
    """An accuracy, 0 to 1, or another mean."""

    value: float
    error: float
    """Of one run, the standard error over questions; of several seeds, half the 95 % interval of their mean."""


def cell(model: ReportedModel, *variants: str) -> Cell:
    """The accuracy of a model on a variant; over several, each question of a set counts once, with its mean."""
    by_set: dict[str, list[Tensor]] = {}
    for variant in variants:
        by_set.setdefault(variant.partition("/")[0], []).append(model.correct(variant).double())
    return mean_cell(torch.cat([torch.stack(found).mean(dim=0) for found in by_set.values()], dim=1))


def mean_cell(values: Tensor) -> Cell:
    """The mean of values `[seeds, questions]`."""
    if len(values) == 1:
        one = mean(values[0])
        return Cell(one.value, one.standard_error or 0.0)
    from scipy.stats import t

    over_seeds = values.double().mean(dim=1)
    error = over_seeds.std().item() / len(values) ** 0.5
    return Cell(over_seeds.mean().item(), float(t.ppf(0.975, len(values) - 1)) * error)


def shown(found: Cell) -> str:
    """In percent."""
    return f"{100 * found.value:.1f} ± {100 * found.error:.1f}"


def nats(found: Cell) -> str:
    """A mean that is no share, with two digits."""
    return f"{rounded(found.value, 2)} ± {rounded(found.error, 2)}"


def excess(model: ReportedModel, variant: str) -> str:
    """Accuracy under the control minus accuracy under the perturbation, in points."""
    return rounded(100 * (cell(model, f"{variant}/control").value - cell(model, variant).value))
