"""From scores of tokens and written answers to the metrics, by row and in all, and their table."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

import torch

from lit_unlearn.answers import likelihood, membership, memorisation, quality
from lit_unlearn.answers.overlap import rouge_l
from lit_unlearn.answers.plan import AnswerPlan, PlannedRow, PlannedSet
from lit_unlearn.answers.source import Role
from lit_unlearn.questions.statistics import Estimate, mean
from lit_unlearn.runs.tables import aligned

PREFIX = "answers"
"""Of the names of numbers, and of the part of an evaluation's record."""
_DIGITS = 9
_COLUMNS = {
    "probability": "probability",
    "truth ratio": "truth_ratio",
    "ROUGE-L recall": "rouge_recall",
    "extraction": "extraction_strength",
    "memorised": "exact_memorisation",
    "Min-K %": "min_k",
}


class TokenValues(NamedTuple):
    """Of the tokens of one answer, in float64."""

    logprob: list[float]
    greedy: list[bool]
    mean_logprob: list[float]
    variance: list[float]

    def without(self, ending: int) -> "TokenValues":
        """Without the last tokens, which end the turn."""
        kept = slice(len(self.logprob) - ending)
        return TokenValues(self.logprob[kept], self.greedy[kept], self.mean_logprob[kept], self.variance[kept])


class SetOutcomes(TypedDict):
    """Of one set, each by row."""

    role: Role
    fingerprint: str
    """Of questions and answers."""
    row: list[int]
    """The rows' places in their source."""
    probability: list[float]
    """Of a general set the right answer's share of the probability of all answers."""
    extraction_strength: list[float]
    exact_memorisation: list[float]
    loss: list[float]
    zlib: list[float]
    min_k: list[float]
    min_k_plus: list[float]
    ratio: NotRequired[list[float]]
    """R, where all rows have wrong answers, and right ones in other words unless the set is general."""
    rouge_recall: NotRequired[list[float]]
    rouge_f1: NotRequired[list[float]]
    written: NotRequired[list[str]]
    """The model's own answers."""


Outcomes = dict[str, SetOutcomes]
Measured = dict[str, dict[str, float | None]]
_MEANS = (
    "probability",
    "extraction_strength",
    "exact_memorisation",
    "loss",
    "zlib",
    "min_k",
    "min_k_plus",
    "rouge_recall",
    "rouge_f1",
)


def token_values(batches: Sequence[Mapping[str, Any]]) -> dict[int, TokenValues]:
    """The values of each answer's tokens, by the text's number.

    Args:
        batches: of `AnswerScores`.
    """
    found = {}
    for batch in batches:
        columns = [batch[name].double() for name in TokenValues._fields]
        for number, *values in zip(batch["answer"].tolist(), *columns, strict=True):
            counted = ~values[0].isnan()
            logprob, greedy, means, variance = (one[counted].tolist() for one in values)
            found[int(number)] = TokenValues(logprob, [*map(bool, greedy)], means, variance)
    return found


def outcomes(
    plan: AnswerPlan, values: Mapping[int, TokenValues], written: Mapping[tuple[str, int], str] | None
) -> Outcomes:
    """What came out, of the rows of which all is known.

    Args:
        plan: what was scored.
        values: by text.
        written: the model's own answers by set and the row's place in its source; None where it did not write.
    """
    found = {}
    for name, one in plan.sets.items():
        known = [row for row in one.rows if {row.answer, *row.paraphrased, *row.perturbed} <= values.keys()]
        if known:
            own = None if written is None else [written[name, row.asked.number] for row in known]
            found[name] = _outcomes(plan, one, known, values, own)
    return found


def comparable(found: Outcomes, reference: Outcomes) -> list[str]:
    """The names of sets of both with the same rows.

    Args:
        found: of an evaluation.
        reference: of the retain-only model's.
    """
    return [
        name
        for name, one in found.items()
        if (other := reference.get(name)) and (one["fingerprint"], one["row"]) == (other["fingerprint"], other["row"])
    ]


def measure(found: Outcomes, reference: Outcomes | None) -> Measured:
    """The numbers by name: of `answers/SET` means over rows with standard errors; of `answers` those of all sets.

    Args:
        found: of an evaluation.
        reference: of the retain-only model, with the same rows; None where there is none.

    Returns:
        Of each set `probability`, `truth_ratio` (on rows to forget min(R, 1 / R), else max(0, 1 - R)), `rouge_recall`,
        `rouge_f1`, `extraction_strength`, `exact_memorisation`, `loss`, `zlib`, `min_k`, `min_k_plus`. Of all
        `model_utility`, over sets to retain and general ones, where the three parts of each are known; with a holdout
        set `membership_auc` (of Min-K %; of the other scores `membership_auc_…`); with a reference `forget_quality` and
        `privacy_leakage`.
    """
    out: Measured = {f"{PREFIX}/{name}": _set_means(one) for name, one in found.items()}
    forget, holdout = (_of_role(found, role) for role in ("forget", "holdout"))
    everything: dict[str, float | None] = {}
    parts = [
        out[f"{PREFIX}/{name}"].get(key)
        for role in ("retain", "general")
        for name in _of_role(found, role)
        for key in ("probability", "rouge_recall", "truth_ratio")
    ]
    known = [part for part in parts if part is not None]
    if parts and len(known) == len(parts):
        everything["model_utility"] = quality.model_utility(known)
    if forget and holdout:
        everything |= {
            f"membership_auc{suffix}": _auc(found, score)
            for suffix, score in (("", "min_k"), ("_loss", "loss"), ("_zlib", "zlib"), ("_min_k_plus", "min_k_plus"))
        }
    if reference is not None:
        both = comparable(found, reference)
        with_ratio = [name for name in forget if name in both and "ratio" in found[name]]
        if with_ratio:
            ratios = ([value for name in with_ratio for value in one[name]["ratio"]] for one in (found, reference))
            everything["forget_quality"] = quality.forget_quality(*ratios)
        if forget and holdout and {*forget, *holdout} <= {*both}:
            everything["privacy_leakage"] = membership.privacy_leakage(
                _auc(found, "min_k"), _auc({name: reference[name] for name in found}, "min_k")
            )
    return {**({PREFIX: everything} if everything else {}), **out}


def log_values(measured: Measured) -> dict[str, float]:
    """What is logged: all but the standard errors, by key."""
    return {
        f"{name}/{key}": value
        for name, row in measured.items()
        for key, value in row.items()
        if value is not None and not key.endswith("_error")
    }


def answers_table(measured: Measured, rows: Mapping[str, int]) -> str:
    """The numbers as text.

    Args:
        measured: by name.
        rows: of each set.
    """
    sets = {name: measured[f"{PREFIX}/{name}"] for name in rows}
    columns = {shown: key for shown, key in _COLUMNS.items() if any(key in row for row in sets.values())}
    lines = [["answers", "rows", *columns]]
    for name, row in sets.items():
        lines.append([name, str(rows[name]), *(_shown(row, key) for key in columns.values())])
    names = {
        "model_utility": "model utility {:.3f}",
        "forget_quality": "forget quality {:.3g} (p of KS against the reference)",
        "membership_auc": "membership AUC {:.3f} (Min-K %, unseen over forget)",
        "privacy_leakage": "PrivLeak {:.1f} %",
    }
    everything = measured.get(PREFIX, {})
    told = [text.format(value) for key, text in names.items() if (value := everything.get(key)) is not None]
    return "\n".join([*aligned(lines, numbers=True), *([", ".join(told)] if told else [])])


def _outcomes(
    plan: AnswerPlan,
    of: PlannedSet,
    rows: Sequence[PlannedRow],
    values: Mapping[int, TokenValues],
    written: Sequence[str] | None,
) -> SetOutcomes:
    whole = [values[row.answer] for row in rows]
    own = [values[row.answer].without(plan.ends[row.answer]) for row in rows]
    found = SetOutcomes(
        role=of.role,
        fingerprint=of.fingerprint,
        row=[row.asked.number for row in rows],
        probability=_rounded(_probability(row, values, general=of.role == "general") for row in rows),
        extraction_strength=_rounded(memorisation.extraction_strength(one.greedy) for one in own),
        exact_memorisation=_rounded(memorisation.exact_memorisation(one.greedy) for one in own),
        loss=_rounded(membership.loss_score(one.logprob) for one in whole),
        zlib=_rounded(
            membership.zlib_score(one.logprob, row.asked.answer) for row, one in zip(rows, whole, strict=True)
        ),
        min_k=_rounded(membership.min_k(one.logprob) for one in own),
        min_k_plus=_rounded(membership.min_k_plus(one.logprob, one.mean_logprob, one.variance) for one in own),
    )
    right = [(row.answer,) if of.role == "general" else row.paraphrased for row in rows]
    if all(right) and all(row.perturbed for row in rows):
        found["ratio"] = [  # not rounded: it may be tiny
            likelihood.truth_ratio(_logprobs(texts, values), _logprobs(row.perturbed, values))
            for row, texts in zip(rows, right, strict=True)
        ]
    if written is not None:
        overlap = [rouge_l(text, row.asked.answer) for text, row in zip(written, rows, strict=True)]
        found["rouge_recall"] = _rounded(one["recall"] for one in overlap)
        found["rouge_f1"] = _rounded(one["fmeasure"] for one in overlap)
        found["written"] = [*written]
    return found


def _logprobs(numbers: Sequence[int], values: Mapping[int, TokenValues]) -> list[list[float]]:
    return [values[number].logprob for number in numbers]


def _probability(row: PlannedRow, values: Mapping[int, TokenValues], *, general: bool) -> float:
    right = likelihood.probability(values[row.answer].logprob)
    if not (general and row.perturbed):
        return right
    return likelihood.share(right, [likelihood.probability(values[number].logprob) for number in row.perturbed])


def _set_means(one: SetOutcomes) -> dict[str, float | None]:
    columns: dict[str, Any] = {name: values for name, values in one.items() if name in _MEANS}
    if "ratio" in one:
        view = likelihood.indistinguishable if one["role"] == "forget" else likelihood.truthful
        columns["truth_ratio"] = [*map(view, one["ratio"])]
    found: dict[str, float | None] = {}
    for name, values in columns.items():
        estimate: Estimate = mean(torch.tensor(values, dtype=torch.float64))
        found |= {name: estimate.value, f"{name}_error": estimate.standard_error}
    return found


def _of_role(found: Outcomes, role: str) -> list[str]:
    return [name for name, one in found.items() if one["role"] == role]


def _auc(found: Outcomes, score: str) -> float:
    unseen, trained = (
        [value for name in _of_role(found, role) for value in found[name][score]]  # type: ignore[literal-required]
        for role in ("holdout", "forget")
    )
    return membership.auc(unseen, trained)


def _rounded(values: Any) -> list[float]:
    return [round(value, _DIGITS) for value in values]


def _shown(row: Mapping[str, float | None], key: str) -> str:
    value, error = row.get(key), row.get(f"{key}_error")
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")
