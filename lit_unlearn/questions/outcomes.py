"""Which questions were answered correctly, and the numbers and the table made of that."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.questions.baselines import Baselines
from lit_unlearn.questions.prompt_limit import Cut
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.statistics import Estimate, accuracy, drop, flip_rate, mean
from lit_unlearn.runs.tables import aligned

Outcomes = dict[str, list[float]]
"""Of one variant, by question: `correct` (0 or 1), `prediction` and `number`, which are integers.

Where the module returns them, also `letter_logprob` and `text_logprob` in nats: log-probabilities of the right answer's
letter over the whole vocabulary, and of its text after the question without options; and of a cloze set `correct_norm`
and `prediction_norm`, of the option that is likeliest per character.
"""
Measured = dict[str, float | str | None]
"""Of one variant: `accuracy`, `letter_logprob` and `text_logprob`, of a cloze set `accuracy_norm` (the harness'
acc_norm), of a perturbed one also `accuracy_drop` and `flip_rate`, each with `…_error`; `commonest`, the letter that is
predicted most often (of equally many the first), `commonest_share` of all answers, and `collapse_rate`, the share of
wrong answers that are that letter (None: none is wrong).

Where cut prompts are counted, also `cut` and `cut_share`: those that lost their beginning.
"""
HeldOut = dict[str, dict[str, list[float]]]
"""Of each stream's held-out rows: `row`, their numbers, and `nll`, nats per token."""
INTERPOLATION, REPAIR = "interpolation", "repair"
OTHER_WEIGHTS = frozenset({INTERPOLATION, REPAIR})
"""Keys of those records of evaluations whose weights are not the trained ones."""
LOGPROBS = ("letter_logprob", "text_logprob")
_COUNTED = ("correct", "prediction", "number")
_NORM = ("correct_norm", "prediction_norm")
_LOGGED = ("accuracy", "accuracy_norm", "accuracy_drop", "flip_rate", "commonest_share", "collapse_rate", *LOGPROBS)
_WHERE_ANY = ("per character", "log p letter", "log p text")
_DIGITS = 6
"""Decimals that are kept of what is not counted."""


def joined(batches: Sequence[Mapping[str, Tensor]]) -> Outcomes:
    """The outcomes of all batches of one process with the rows' `variant`; values `[rows]` by name.

    Log-probabilities are there where all batches have them.

    Raises:
        InputError: `correct`, `prediction` or `number` is missing.
    """
    missing = [name for name in _COUNTED if name not in batches[0]]
    if missing:
        raise InputError(f"validation_step: no {missing[0]!r} for questions; return {', '.join(_COUNTED)}, [rows] each")
    names = [*_COUNTED, "variant", *(name for name in _NORM if all(name in batch for batch in batches))]
    counted = {name: torch.cat([batch[name] for batch in batches]).int().tolist() for name in names}
    told = [name for name in LOGPROBS if all(name in batch for batch in batches)]
    return counted | {name: _rounded(torch.cat([batch[name] for batch in batches])) for name in told}


def held_out(batches: Sequence[Mapping[str, Tensor]]) -> HeldOut:
    """The likelihood of held-out rows, each once, by stream, in the order of their numbers.

    Args:
        batches: of all processes: `forget_row`, `forget_nll`, `retain_row` and `retain_nll`, `[rows]` each; a row that
            is in several batches, as a shorter stream's are, counts once.

    Example:
        >>> from torch import tensor
        >>> batch = {"forget_row": tensor([7, 4]), "forget_nll": tensor([2.0, 1.5])}
        >>> held_out([batch | {"retain_row": tensor([9]), "retain_nll": tensor([0.5])}])["forget"]
        {'row': [4, 7], 'nll': [1.5, 2.0]}
    """
    found: HeldOut = {}
    for stream in ("forget", "retain"):
        rows = torch.cat([batch[f"{stream}_row"] for batch in batches]).tolist()
        by_row = dict(zip(rows, _rounded(torch.cat([batch[f"{stream}_nll"] for batch in batches])), strict=True))
        found[stream] = {"row": sorted(by_row), "nll": [by_row[row] for row in sorted(by_row)]}
    return found


def of(variant: int, outcomes: Outcomes) -> Outcomes:
    """The outcomes of one variant; without log-probabilities that none of its questions was asked for.

    Example:
        >>> of(1, {"variant": [0, 1, 1], "number": [5, 5, 6], "correct": [1, 0, 1]})
        {'number': [5, 6], 'correct': [0, 1]}
    """
    rows = [row for row, own in enumerate(outcomes["variant"]) if own == variant]
    own = {name: [values[row] for row in rows] for name, values in outcomes.items() if name != "variant"}
    return {name: values for name, values in own.items() if not values or not all(map(math.isnan, values))}


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
    names = [name for name in parts[0] if all(name in part for part in parts)]
    whole = {name: [value for part in parts for value in part[name]] for name in names}
    order = sorted(range(len(whole["number"])), key=whole["number"].__getitem__)
    return {name: [values[index] for index in order] for name, values in whole.items()}


def measure(
    asked: Mapping[Variant, Mapping[str, Sequence[float]]], cut: Mapping[str, Cut] | None = None
) -> dict[Variant, Measured]:
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
        if isinstance(number, int | float) and name in _LOGGED
    }
    asked = {variant: float(row["accuracy"] or 0) for variant, row in measured.items() if not variant.control}
    retained = [value for variant, value in asked.items() if variant.questions not in forget]
    forgotten = [asked[Variant(name, DEFAULT, False)] for name in forget if Variant(name, DEFAULT, False) in asked]
    if retained and forgotten:
        values["selectivity"] = fmean(retained) - fmean(forgotten)
    return values


def accuracy_table(measured: Mapping[Variant, Measured], guesses: Mapping[str, Baselines] | None = None) -> str:
    """The numbers in percent, log-probabilities in nats, with standard errors, as text.

    Accuracies per character, log-probabilities and cut prompts have a column where there are any.

    Args:
        measured: of each variant.
        guesses: of each set, by its name, the accuracies of rules that read no question; rows at the end.
    """
    columns = {
        "accuracy": [_percent(row, "accuracy") for row in measured.values()],
        "per character": [_percent(row, "accuracy_norm") for row in measured.values()],
        "drop": [_percent(row, "accuracy_drop") for row in measured.values()],
        "flipped": [_percent(row, "flip_rate") for row in measured.values()],
        "commonest": [f"{row['commonest']} {_percent(row, 'commonest_share')}" for row in measured.values()],
        "collapse": [_percent(row, "collapse_rate") for row in measured.values()],
        "log p letter": [_nats(row, "letter_logprob") for row in measured.values()],
        "log p text": [_nats(row, "text_logprob") for row in measured.values()],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells) or name not in _WHERE_ANY}
    if any(row.get("cut") for row in measured.values()):
        shown["cut prompts"] = [
            f"{row.get('cut') or 0:.0f} ({_percent(row, 'cut_share')} %)" for row in measured.values()
        ]
    rows = zip(*shown.values(), strict=True)
    lines = [["questions", *shown], *([str(variant), *row] for variant, row in zip(measured, rows, strict=True))]
    unread = [[name, cell, *[""] * (len(shown) - 1)] for name, cell in _guessed(guesses or {})]
    return "\n".join(aligned(lines + unread, numbers=True))


def held_out_line(found: HeldOut) -> str:
    """The mean negative log-likelihood of held-out rows, with standard errors, as a line of text."""
    means = {stream: mean(torch.tensor(rows["nll"])) for stream, rows in found.items()}
    told = [f"{stream} {one.value:.3f}{_plus_minus(one.standard_error, 3)}" for stream, one in means.items()]
    return f"held-out rows, NLL in nats per token: {', '.join(told)}"


def _measure(variant: Variant, asked: Mapping[Variant, Mapping[str, Sequence[float]]]) -> Measured:
    correct, prediction = _tensors(asked[variant])
    row = _pair("accuracy", accuracy(correct)) | _commonest(correct, prediction)
    if "correct_norm" in asked[variant]:
        row |= _pair("accuracy_norm", accuracy(torch.tensor(asked[variant]["correct_norm"])))
    for name in LOGPROBS:
        if name in asked[variant]:
            row |= _pair(name, mean(torch.tensor(asked[variant][name])))
    if variant.perturbation != DEFAULT:
        clean_correct, clean_prediction = _tensors(asked[Variant(variant.questions, DEFAULT, False)])
        row |= _pair("accuracy_drop", drop(clean_correct, correct))
        row |= _pair("flip_rate", flip_rate(clean_prediction, prediction))
    return row


def _guessed(guesses: Mapping[str, Baselines]) -> list[tuple[str, str]]:
    """The names and accuracies of rules that read no question."""
    rules = [
        (f"{name}: {rule}", _pair("accuracy", estimate))
        for name, one in guesses.items()
        for rule, estimate in (("longest option", one.longest), (f"always {one.letter}", one.always))
    ]
    return [(name, _percent(row, "accuracy")) for name, row in rules]


def _cut(cut: Cut | None) -> Measured:
    return {} if cut is None else {"cut": cut.prompts, "cut_share": cut.share}


def _tensors(answers: Mapping[str, Sequence[float]]) -> tuple[Tensor, Tensor]:
    return torch.tensor(answers["correct"]), torch.tensor(answers["prediction"])


def _commonest(correct: Tensor, prediction: Tensor) -> Measured:
    letter = int(prediction.bincount().argmax())
    wrong = prediction[correct == 0]
    return {
        "commonest": chr(ord("A") + letter),
        "commonest_share": mean(prediction == letter).value,
        "collapse_rate": mean(wrong == letter).value if len(wrong) else None,
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.double().tolist()]


def _pair(name: str, estimate: Estimate) -> Measured:
    return {name: estimate.value, f"{name}_error": estimate.standard_error}


def _percent(row: Measured, name: str) -> str:
    return _shown(row, name, factor=100, digits=1)


def _nats(row: Measured, name: str) -> str:
    return _shown(row, name, factor=1, digits=2)


def _shown(row: Measured, name: str, *, factor: float, digits: int) -> str:
    value, error = row.get(name), row.get(f"{name}_error")
    if not isinstance(value, int | float):
        return ""
    scaled = factor * error if isinstance(error, int | float) else None
    return f"{factor * value:.{digits}f}{_plus_minus(scaled, digits)}"


def _plus_minus(error: float | None, digits: int) -> str:
    return "" if error is None else f" ± {error:.{digits}f}"
