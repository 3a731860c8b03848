"""The metrics of free answers of each model of a report, as AnswerEvaluation measured them."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import torch

from lit_unlearn.answers.measures import UNCERTAIN
from lit_unlearn.answers.outcomes import PREFIX
from lit_unlearn.commands.report.cells import Cell, mean_cell
from lit_unlearn.commands.report.numerals import rounded
from lit_unlearn.commands.report.runs import ReportedModel

_OF_ALL = {
    "model_utility": "model utility",
    "forget_quality": "forget quality",
    "membership_auc": "membership AUC",
    "privacy_leakage": "PrivLeak, %",
}
_OF_A_SET = {
    "probability": "probability",
    "accuracy": "accuracy",
    "mc2": "MC2",
    "truth_ratio": "truth ratio",
    "rouge_recall": "ROUGE-L recall",
    "rouge_f1_unstemmed": "ROUGE-L F1, unstemmed",
    "extraction_strength": "extraction strength",
    "min_k": "Min-K %",
    "gibberish": "gibberish",
    "clean": "clean",
}
_OF_UTILITY = {"word_f1": "word F1", "exact_match": "exact match", "entropy": "entropy, bits"}
"""Of sets about general knowledge, and of those without right answers: what RWKU reports of them."""
_OF_TEXTS = {"loss": "log p"}
"""Of texts alone: RWKU's membership."""
LEGEND = (
    "Free answers: means over the rows of each set; truth ratio is min(R, 1 / R) on rows to forget, else max(0, 1 − R)."
    " Model utility is the harmonic mean over the sets to keep; forget quality the p-value of a Kolmogorov-Smirnov test"
    " against a retain-only model, of several seeds the median with the least and the greatest; membership AUC and "
    "PrivLeak are of Min-K % (at 0.5 and 0 forget rows look unseen)."
)


def metric_parts(models: Sequence[ReportedModel]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """A name, and by head the cells of all models; none where a model has no answers, or others were asked for."""
    if not _same_rows(models):
        return
    for name, heads in [("all sets", _OF_ALL), *_sets(models[0])]:
        columns = {head: [_shown(model, name, key) for model in models] for key, head in heads.items()}
        known = {head: cells for head, cells in columns.items() if any(cell != "–" for cell in cells)}
        if known:
            yield name, known


def as_json(model: ReportedModel) -> dict[str, Any]:
    """All that was measured of a model, by set and name, with the values of each seed."""
    found: dict[str, Any] = {}
    for record in model.records:
        for name, values in record.get(PREFIX, {}).get("measured", {}).items():
            for key, value in values.items():
                if not key.endswith(UNCERTAIN):
                    found.setdefault(name, {}).setdefault(key, []).append(value)
    return found


def _same_rows(models: Sequence[ReportedModel]) -> bool:
    records = [record for model in models for record in model.records]
    if not all(PREFIX in record for record in records):
        return False
    asked = [
        {name: (one["fingerprint"], one["row"]) for name, one in record[PREFIX]["outcomes"].items()}
        for record in records
    ]
    return all(one == asked[0] for one in asked)


def _sets(model: ReportedModel) -> Iterator[tuple[str, dict[str, str]]]:
    """Each set and the heads of its columns."""
    for name, outcomes in model.records[0][PREFIX]["outcomes"].items():
        of_utility = outcomes["role"] == "general" or "probability" not in outcomes
        alone = outcomes.get("texts_alone", False)
        yield name, _OF_A_SET | (_OF_TEXTS if alone else _OF_UTILITY if of_utility else {})


def _shown(model: ReportedModel, name: str, key: str) -> str:
    measured = [record[PREFIX]["measured"] for record in model.records]
    rows = [one.get(PREFIX if name == "all sets" else f"{PREFIX}/{name}", {}) for one in measured]
    values = [row.get(key) for row in rows]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return "–"
    if key == "forget_quality":
        spread = f" [{min(known):.2g}, {max(known):.2g}]" if len(known) > 1 else ""
        return f"{median(known):.2g}{spread}"
    digits = 1 if key == "privacy_leakage" else 3  # which is in percent
    if len(known) == 1:
        return _cell(Cell(known[0], rows[0].get(f"{key}_error") or 0.0), digits)
    return _cell(mean_cell(torch.tensor(known, dtype=torch.float64)[:, None]), digits)


def _cell(found: Cell, digits: int) -> str:
    return rounded(found.value, digits) + (f" ± {rounded(found.error, digits)}" if found.error else "")
