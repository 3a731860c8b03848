"""The numbers of an evaluation of free answers: means over rows, and what several sets give together."""

from collections.abc import Mapping
from typing import Any

import torch

from lit_unlearn.answers import likelihood, membership, quality
from lit_unlearn.answers.outcomes import PREFIX, Outcomes, SetOutcomes, comparable
from lit_unlearn.questions.statistics import Estimate, mean

Measured = dict[str, dict[str, float | None]]
_MEANS = (
    "probability",
    "accuracy",
    "mc2",
    "extraction_strength",
    "exact_memorisation",
    "loss",
    "zlib",
    "min_k",
    "min_k_plus",
    "gradient_norm",
    "rouge_recall",
    "rouge_f1",
    "rouge_f1_unstemmed",
    "word_f1",
    "exact_match",
    "repetition",
    "entropy",
    "perplexity",
    "clean",
    "gibberish",
)
_SCORES = {
    "membership_auc": "min_k",
    "membership_auc_loss": "loss",
    "membership_auc_zlib": "zlib",
    "membership_auc_min_k_plus": "min_k_plus",
    "membership_auc_gradient_norm": "gradient_norm",
}
_RELATIVE = {"reference": "membership_auc_reference", "base": "membership_auc_base"}
UNCERTAIN = ("_error", "_low", "_high")
"""What names of standard errors and of the ends of intervals end in."""


def measure(
    found: Outcomes, reference: Outcomes | None, base: Outcomes | None = None, *, retrained_auc: float | None = None
) -> Measured:
    """The numbers by name: of `answers/SET` means over rows with standard errors; of `answers` those of all sets.

    Args:
        found: of an evaluation.
        reference: of the retain-only model, with the same rows; None where there is none.
        base: of the model before training; None where that is not known.
        retrained_auc: of the retain-only model, where that alone is known of it.

    Returns:
        Of each set `probability`, `truth_ratio` (on rows to forget min(R, 1 / R), else max(0, 1 - R)), `rouge_recall`,
        `rouge_f1` and the other columns of its outcomes. Of all `model_utility`, over sets to retain and general ones,
        where the three parts of each are known; with a holdout set `membership_auc` (of Min-K %; of the other scores
        `membership_auc_…`); with a reference `forget_quality`, `membership_auc_reference` and `privacy_leakage`, for
        which `retrained_auc` is enough; with a base `membership_auc_base`.
    """
    out: Measured = {f"{PREFIX}/{name}": _set_means(one) for name, one in found.items()}
    everything: dict[str, float | None] = {}
    parts = utility_parts(found, out)
    if parts is not None:
        everything["model_utility"] = quality.model_utility(parts)
    forget, holdout = compared_sets(found)
    if forget and holdout:
        everything |= {key: auc(found, score) for key, score in _SCORES.items() if _have(found, score)}
    if retrained_auc is not None and everything.get("membership_auc") is not None:
        everything["privacy_leakage"] = membership.privacy_leakage(auc(found, "min_k"), retrained_auc)
    if reference is not None:
        everything |= _against_reference(found, reference)
    for name, other in (("reference", reference), ("base", base)):
        if other is not None and (relative := relative_scores(found, other)):
            everything[_RELATIVE[name]] = membership.auc(*relative)
    return {**({PREFIX: everything} if everything else {}), **out}


def log_values(measured: Measured) -> dict[str, float]:
    """What is logged: all but the standard errors and the ends of intervals, by key."""
    return {
        f"{name}/{key}": value
        for name, row in measured.items()
        for key, value in row.items()
        if value is not None and not key.endswith(UNCERTAIN)
    }


def of_role(found: Outcomes, role: str) -> list[str]:
    """The names of the sets of a role."""
    return [name for name, one in found.items() if one["role"] == role]


def compared_sets(found: Outcomes) -> tuple[list[str], list[str]]:
    """The forget and the holdout sets that membership compares: of texts alone where the holdout has such, else others.

    Args:
        found: of an evaluation.

    Returns:
        Names; both are empty where there is nothing to compare.
    """
    alone = any(found[name].get("texts_alone", False) for name in of_role(found, "holdout"))
    forget, holdout = (
        [
            name
            for name in of_role(found, role)
            if found[name].get("texts_alone", False) == alone and "loss" in found[name]
        ]
        for role in ("forget", "holdout")
    )
    return (forget, holdout) if forget and holdout else ([], [])


def scores(found: Outcomes, score: str) -> tuple[list[float], list[float]]:
    """The values of a membership score, of unseen rows and of those that the base was trained on."""
    forget, holdout = compared_sets(found)
    unseen, trained = ([value for name in names for value in column(found[name], score)] for names in (holdout, forget))
    return unseen, trained


def column(one: SetOutcomes, name: str) -> list[float]:
    """The values of a set by row."""
    values: list[float] = one[name]  # type: ignore[literal-required]
    return values


def auc(found: Outcomes, score: str) -> float:
    """How often an unseen row has the higher membership score."""
    return membership.auc(*scores(found, score))


def relative_scores(found: Outcomes, other: Outcomes) -> tuple[list[float], list[float]] | None:
    """The scores of the attack with another model: log p less that model's, of unseen rows and of trained ones.

    Args:
        found: of an evaluation.
        other: of the other model.

    Returns:
        None where it was not asked the same rows.
    """
    names = [*compared_sets(found)[0], *compared_sets(found)[1]]
    if not names or not {*names} <= {*comparable(found, other)}:
        return None
    own, others = (scores(one, "loss") for one in (found, {name: other[name] for name in found if name in other}))
    unseen, trained = (
        [value - theirs for value, theirs in zip(mine, base, strict=True)]
        for mine, base in zip(own, others, strict=True)
    )
    return unseen, trained


def utility_parts(found: Outcomes, measured: Measured) -> list[float] | None:
    """The parts of model utility, three of each set to retain and each general one; None where one is not known."""
    parts = [
        measured[f"{PREFIX}/{name}"].get(key)
        for role in ("retain", "general")
        for name in of_role(found, role)
        for key in ("probability", "rouge_recall", "truth_ratio")
    ]
    known = [part for part in parts if part is not None]
    return known if parts and len(known) == len(parts) else None


def set_columns(one: SetOutcomes) -> dict[str, list[float]]:
    """What means are taken of, by name and row."""
    found: Mapping[str, Any] = one
    columns: dict[str, list[float]] = {name: found[name] for name in _MEANS if name in found}
    if "ratio" in one:
        view = likelihood.indistinguishable if one["role"] == "forget" else likelihood.truthful
        columns["truth_ratio"] = [*map(view, one["ratio"])]
    return columns


def _set_means(one: SetOutcomes) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, values in set_columns(one).items():
        estimate: Estimate = mean(torch.tensor(values, dtype=torch.float64))
        found |= {name: estimate.value, f"{name}_error": estimate.standard_error}
    return found


def _against_reference(found: Outcomes, reference: Outcomes) -> dict[str, float | None]:
    """Forget quality and PrivLeak, where the reference was asked the same rows."""
    both, out = comparable(found, reference), dict[str, float | None]()
    with_ratio = [name for name in of_role(found, "forget") if name in both and "ratio" in found[name]]
    if with_ratio:
        ratios = ([value for name in with_ratio for value in one[name]["ratio"]] for one in (found, reference))
        out["forget_quality"] = quality.forget_quality(*ratios)
    compared = [name for names in compared_sets(found) for name in names]
    if compared and {*compared} <= {*both}:
        retrained = auc({name: reference[name] for name in found if name in reference}, "min_k")
        if retrained:  # else the model without the rows holds every one of them for known, and nothing compares
            out["privacy_leakage"] = membership.privacy_leakage(auc(found, "min_k"), retrained)
    return out


def _have(found: Outcomes, score: str) -> bool:
    return all(score in found[name] for names in compared_sets(found) for name in names)
