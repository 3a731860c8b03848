"""Which questions were answered rightly, and the numbers and the table made of that."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.questions.prompt_limit import Cut
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.statistics import Estimate, accuracy, drop, flip_rate
from lit_unlearn.runs.tables import aligned

Outcomes = dict[str, list[int]]
"""Of one variant, by question: `correct` (0 or 1), `prediction` and `number`."""
Measured = dict[str, float | None]
"""Of one variant: `accuracy`, of a perturbed one also `accuracy_drop` and `flip_rate`, each with `…_error`.

Where cut prompts are counted, also `cut` and `cut_share`: those that lost their beginning.
"""
_COLUMNS = ("accuracy", "accuracy_drop", "flip_rate")


def joined(batches: Sequence[Mapping[str, Tensor]]) -> Outcomes:
    """The outcomes of all batches of one process with the rows' `variant`; values `[rows]` by name.

    Raises:
        InputError: `correct`, `prediction` or `number` is missing.
    """
    names = ("correct", "prediction", "number")
    missing = [name for name in names if name not in batches[0]]
    if missing:
        raise InputError(f"validation_step: no {missing[0]!r} for questions; return {', '.join(names)}, [rows] each")
    return {name: torch.cat([batch[name] for batch in batches]).int().tolist() for name in (*names, "variant")}


def of(variant: int, outcomes: Outcomes) -> Outcomes:
    """The outcomes of one variant.

    Example:
        >>> of(1, {"variant": [0, 1, 1], "number": [5, 5, 6], "correct": [1, 0, 1]})
        {'number': [5, 6], 'correct': [0, 1]}
    """
    rows = [row for row, own in enumerate(outcomes["variant"]) if own == variant]
    return {name: [values[row] for row in rows] for name, values in outcomes.items() if name != "variant"}


def complete(found: Mapping[Variant, Outcomes]) -> dict[Variant, Outcomes]:
    """The outcomes of the questions that were asked in all variants; of no variant where there are none.

    Example:
        >>> clean, other = Variant("a", DEFAULT, False), Variant("a", "x", False)
        >>> list(complete({clean: {"number": [0, 1]}, other: {"number": [1]}}).values())
        [{'number': [1]}, {'number': [1]}]
    """
    asked = set.intersection(*(set(outcomes["number"]) for outcomes in found.values()))
    kept = {}
    for variant, outcomes in found.items() if asked else ():
        rows = [row for row, number in enumerate(outcomes["number"]) if number in asked]
        kept[variant] = {name: [values[row] for row in rows] for name, values in outcomes.items()}
    return kept


def merged(parts: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of all processes, in the order of the questions' numbers.

    Example:
        >>> merged([{"number": [2, 0], "correct": [1, 1]}, {"number": [1], "correct": [0]}])
        {'number': [0, 1, 2], 'correct': [1, 0, 1]}
    """
    whole = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    order = sorted(range(len(whole["number"])), key=whole["number"].__getitem__)
    return {name: [values[index] for index in order] for name, values in whole.items()}


def measure(asked: Mapping[Variant, Outcomes], cut: Mapping[str, Cut] | None = None) -> dict[Variant, Measured]:
    """The numbers of every variant; a perturbed one is compared with its set's default, question by question.

    Args:
        asked: the outcomes of each variant.
        cut: of each variant, by its log key, the prompts that lost their beginning.
    """
    return {variant: _measure(variant, asked) | _cut((cut or {}).get(str(variant))) for variant in asked}


def log_values(measured: Mapping[Variant, Measured], *, forget: Sequence[str]) -> dict[str, float]:
    """What is logged of the numbers, by key; `selectivity` where there are sets to forget and to retain."""
    values = {
        f"{variant}/{name}": number
        for variant, row in measured.items()
        for name, number in row.items()
        if number is not None and name in _COLUMNS
    }
    asked = {variant: row["accuracy"] or 0.0 for variant, row in measured.items() if not variant.control}
    retained = [value for variant, value in asked.items() if variant.questions not in forget]
    forgotten = [asked[Variant(name, DEFAULT, False)] for name in forget if Variant(name, DEFAULT, False) in asked]
    if retained and forgotten:
        values["selectivity"] = fmean(retained) - fmean(forgotten)
    return values


def accuracy_table(measured: Mapping[Variant, Measured]) -> str:
    """The numbers in percent, with standard errors, as text; with cut prompts where there are any."""
    lines = [["questions", "accuracy", "drop", "flipped"]]
    lines += [[str(variant), *(_percent(row, name) for name in _COLUMNS)] for variant, row in measured.items()]
    if any(row.get("cut") for row in measured.values()):
        told = [f"{row.get('cut') or 0:.0f} ({_percent(row, 'cut_share')} %)" for row in measured.values()]
        lines = [[*line, cell] for line, cell in zip(lines, ["cut prompts", *told], strict=True)]
    return "\n".join(aligned(lines, numbers=True))


def _measure(variant: Variant, asked: Mapping[Variant, Outcomes]) -> Measured:
    correct, prediction = _tensors(asked[variant])
    row = _pair("accuracy", accuracy(correct))
    if variant.perturbation != DEFAULT:
        clean_correct, clean_prediction = _tensors(asked[Variant(variant.questions, DEFAULT, False)])
        row |= _pair("accuracy_drop", drop(clean_correct, correct))
        row |= _pair("flip_rate", flip_rate(clean_prediction, prediction))
    return row


def _cut(cut: Cut | None) -> Measured:
    return {} if cut is None else {"cut": cut.prompts, "cut_share": cut.share}


def _tensors(answers: Outcomes) -> tuple[Tensor, Tensor]:
    return torch.tensor(answers["correct"]), torch.tensor(answers["prediction"])


def _pair(name: str, estimate: Estimate) -> Measured:
    return {name: estimate.value, f"{name}_error": estimate.standard_error}


def _percent(row: Measured, name: str) -> str:
    value, error = row.get(name), row.get(f"{name}_error")
    if value is None:
        return ""
    return f"{100 * value:.1f}" if error is None else f"{100 * value:.1f} ± {100 * error:.1f}"
