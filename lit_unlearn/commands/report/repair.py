"""What a run gives back of the accuracy under perturbation that the method lost, at equal forgetting or beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch

from lit_unlearn.commands.report.forgetting import MEASURES, TEXT, Measure, measured
from lit_unlearn.commands.report.insertions import PREFIX, excesses, insertions
from lit_unlearn.commands.report.numerals import rounded
from lit_unlearn.commands.report.runs import ReportedModel, between, forget_sets, method_of, retained
from lit_unlearn.questions.interpolation_curve import beyond, reaches
from lit_unlearn.questions.resampling import Resampling, spanned
from lit_unlearn.questions.statistics import Interval, recovery_rate

Kind = Literal["recovery", "beyond_interpolation", "none"]
RECOVERY: Final = "recovery"
BEYOND: Final = "beyond_interpolation"
NONE: Final = "none"
SHARES = 4
"""Number of interpolated weights that make a curve, by default."""


class Repair(NamedTuple):
    """What is stated of one run under one perturbation."""

    kind: Kind
    interval: Interval | None = None
    """The share recovered, or accuracy beyond the curve, 0 to 1."""
    reason: str = ""
    """Why there is neither."""
    curve: Interval | None = None
    """Accuracy beyond the curve, wherever it can be read."""
    nats: bool = False
    """Whether it is of the excess of insertions, where less is better: what is recovered, or nats below the curve."""


@dataclass(frozen=True)
class Compared:
    """One model against the method."""

    equal: bool | None = None
    """Whether it has forgotten as much; None where this was not measured, and for the method itself."""
    repairs: Mapping[str, Repair] = field(default_factory=dict)
    """By perturbed variant of what is to be kept; none of the base and of the method."""


@dataclass(frozen=True)
class Comparison:
    """All models against the method."""

    measure: Measure
    """That decides which have forgotten equally."""
    method: ReportedModel | None
    rows: Sequence[Compared]
    """By model."""


class _Pair(NamedTuple):
    """A model and the method, evaluation by evaluation."""

    model: Sequence[Mapping[str, Any]]
    method: Sequence[Mapping[str, Any]]
    curve: Sequence[Sequence[Mapping[str, Any]]]
    """By t, the method's own interpolated weights; empty where there are too few."""


def compare(models: Sequence[ReportedModel], measure: Measure = TEXT, *, shares: int = SHARES) -> Comparison:
    """Whether each model has forgotten as much as the method, and what it repairs; nothing without a method.

    Args:
        models: as `load` returns them.
        measure: of forgetting.
        shares: least number of interpolated weights that make a curve.
    """
    method = method_of(models)
    if method is None:
        return Comparison(measure, None, [Compared() for _ in models])
    return Comparison(measure, method, [_compared(model, method, models, measure, shares) for model in models])


def _compared(
    model: ReportedModel, method: ReportedModel, models: Sequence[ReportedModel], measure: Measure, shares: int
) -> Compared:
    if model is method:
        return Compared()
    pair, forget = _paired(model, method, shares), forget_sets(models)
    variants = [*retained(models), *insertions(models)] if model.folders else []
    numbers = measured([*pair.model, *pair.method], measure, forget)
    if numbers is None:
        return Compared(None, {variant: Repair(NONE, reason=measure.missing) for variant in variants})
    resampling = Resampling(len(pair.model))
    unequal = _unequal(pair, [measure, *(one for one in MEASURES.values() if one is not measure)], forget, resampling)
    curves = _beyond_curve(pair, measured([*pair.model, *_flat(pair)], measure, forget), variants, resampling, measure)
    if not unequal:
        base = models[0]
        return Compared(True, {name: _recovery(base, pair, name, curves.get(name)) for name in variants})
    none = Repair(NONE, reason=unequal)
    found = {
        name: Repair(BEYOND, curves[name], curve=curves[name], nats=name.startswith(PREFIX)) if name in curves else none
        for name in variants
    }
    return Compared(False, found)


def interpolation_curve(method: ReportedModel, *, least: int = SHARES) -> list[ReportedModel]:
    """The method's own weights between base, first, and unlearned, by t; none where there are too few.

    Those that all seeds have count.

    Args:
        method: with what was evaluated.
        least: number of interpolated weights.
    """
    curves = [between(results["evaluations"]) for results in method.results]
    shares = sorted(set(curves[0]).intersection(*curves))
    if len(shares) < least + 2:
        return []
    return [method._replace(records=[found[share] for found in curves]) for share in shares]


def _unequal(pair: _Pair, measures: Sequence[Measure], forget: Sequence[str], resampling: Resampling) -> str:
    """How the model has forgotten differently from the method, on the first measure on which it has; else empty.

    What one measure finds equal another may not: letters stay where one is always answered, texts where nothing is left
    to forget.
    """
    for measure in measures:
        numbers = measured([*pair.model, *pair.method], measure, forget)
        if numbers is None:
            continue
        own, others = np.split(numbers, 2)
        difference = resampling.interval(own - others, measure.questions)
        if not difference.low <= 0 <= difference.high:
            more = (difference.value > 0) == measure.rises
            told = " against ".join(_told_apart(own.mean(), others.mean()))
            return f"forgets {'more' if more else 'less'} ({measure.unit} {told})"
    return ""


def _told_apart(first: float, second: float) -> list[str]:
    """Two numbers with as many digits as it takes to see that they differ, up to three.

    Example:
        >>> _told_apart(-1.21, -9.8), _told_apart(-6.74, -6.68)
        (['−1.2', '−9.8'], ['−6.74', '−6.68'])
    """
    pairs = [[rounded(one, digits) for one in (first, second)] for digits in (1, 2, 3)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])


def _paired(model: ReportedModel, method: ReportedModel, shares: int) -> _Pair:
    """Seed by seed; the base, which has none, with each."""
    count = len(method.records)
    if not model.folders:
        ours, theirs = [*range(count)], [0] * count
    else:
        common = [seed for seed in method.seeds if seed in model.seeds]
        # Without a common one the runs are still two samples of seeds: any pairing is as good.
        ours = [method.seeds.index(seed) for seed in common] or [*range(min(count, len(model.records)))]
        theirs = [model.seeds.index(seed) for seed in common] or ours
    curve = [[point.records[place] for place in ours] for point in interpolation_curve(method, least=shares)]
    return _Pair([model.records[place] for place in theirs], [method.records[place] for place in ours], curve)


def _flat(pair: _Pair) -> list[Mapping[str, Any]]:
    return [record for point in pair.curve for record in point]


def _beyond_curve(
    pair: _Pair, numbers: np.ndarray | None, variants: Sequence[str], resampling: Resampling, measure: Measure
) -> dict[str, Interval]:
    """By variant, the run's accuracy minus the curve's at the run's forgetting; none where the curve ends before.

    Args:
        pair: the run and the curve.
        numbers: of the run and then of the curve, `[records, questions]`.
        variants: of what is to be kept.
        resampling: of the seeds.
        measure: of forgetting.
    """
    seeds = len(pair.model)
    if not pair.curve or numbers is None or not variants:
        return {}
    forgetting = numbers.reshape(-1, seeds, numbers.shape[1])
    levels = forgetting.mean(axis=(1, 2))
    if not reaches(levels[0], levels[1:]):
        return {}
    drawn = resampling.means(forgetting, measure.questions)
    kept, found = {variant: _kept([*pair.model, *_flat(pair)], variant) for variant in variants}, {}
    # Kinds of insertions may be known of fewer rows than others.
    drawn_alike = {variant: (variant.partition("/")[0], kept[variant].shape[1]) for variant in variants}
    for questions, count in dict.fromkeys(drawn_alike.values()):
        within = [variant for variant in variants if drawn_alike[variant] == (questions, count)]
        correct = np.stack([kept[variant] for variant in within])
        correct = correct.reshape(len(within), len(levels), seeds, -1)
        accuracies = resampling.means(correct.reshape(-1, *correct.shape[2:]), questions)
        for place, variant in enumerate(within):
            value = beyond(levels[None], correct[place].mean(axis=(1, 2))[None]).item()
            own = accuracies[:, place * len(levels) : (place + 1) * len(levels)]
            found[variant] = spanned(value, beyond(drawn, own))
    return found


def _recovery(base: ReportedModel, pair: _Pair, variant: str, curve: Interval | None) -> Repair:
    base_records = [base.records[0]] * len(pair.model)
    answers = [torch.from_numpy(_kept(records, variant)) for records in (base_records, pair.method, pair.model)]
    rate, nats = recovery_rate(*answers), variant.startswith(PREFIX)
    if rate is None:
        return Repair(NONE, reason="no clear loss to recover", curve=curve, nats=nats)
    return Repair(RECOVERY, rate, curve=curve, nats=nats)


def _kept(records: Sequence[Mapping[str, Any]], variant: str) -> np.ndarray:
    """Right answers, bool `[records, questions]`; of an insertion the excess with its sign changed."""
    if variant.startswith(PREFIX):
        return -excesses(records, variant)
    return np.array([record["outcomes"][variant]["correct"] for record in records], dtype=bool)


def repair_shown(found: Repair) -> str:
    """A cell: `52 % [24, 72]`, `+3.1 points [0.5, 5.6]`, `+0.12 nats [0.01, 0.20]` or `n/a: …`."""
    if found.interval is None:
        return f"n/a: {found.reason}"
    value, low, high = (100 * number for number in found.interval)
    if found.kind == BEYOND and found.nats:
        value, low, high = found.interval
        return f"{rounded(value, 2, signed=True)} nats [{rounded(low, 2)}, {rounded(high, 2)}]"
    if found.kind == RECOVERY:
        return f"{rounded(value, 0)} % [{rounded(low, 0)}, {rounded(high, 0)}]"
    return f"{rounded(value, signed=True)} points [{rounded(low)}, {rounded(high)}]"


def repair_numbers(found: Repair) -> dict[str, Any]:
    """The same for report.json; next to a recovery the difference to the curve, where there is one."""
    numbers = found.interval._asdict() if found.interval else dict.fromkeys(Interval._fields)
    beside = {BEYOND: found.curve._asdict()} if found.curve and found.kind != BEYOND else {}
    return {"kind": found.kind, **numbers, "reason": found.reason, **beside}
