"""The numbers of free answers as text."""

from collections.abc import Mapping

from lit_unlearn.answers.measures import Measured
from lit_unlearn.answers.outcomes import PREFIX
from lit_unlearn.runs.tables import aligned

_COLUMNS = {
    "probability": "probability",
    "accuracy": "accuracy",
    "truth ratio": "truth_ratio",
    "ROUGE-L recall": "rouge_recall",
    "ROUGE-L F1, unstemmed": "rouge_f1_unstemmed",
    "extraction": "extraction_strength",
    "memorised": "exact_memorisation",
    "Min-K %": "min_k",
    "gibberish": "gibberish",
}
_OF_ALL = {
    "model_utility": "model utility {:.3f}",
    "forget_quality": "forget quality {:.3g} (p of KS against the reference)",
    "membership_auc": "membership AUC {:.3f} (Min-K %, unseen over forget)",
    "privacy_leakage": "PrivLeak {:.1f} %",
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
    everything = measured.get(PREFIX, {})
    told = [text.format(value) for key, text in _OF_ALL.items() if (value := everything.get(key)) is not None]
    return "\n".join([*aligned(lines, numbers=True), *([", ".join(told)] if told else [])])


def _shown(row: Mapping[str, float | None], key: str) -> str:
    value, error = row.get(key), row.get(f"{key}_error")
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")
