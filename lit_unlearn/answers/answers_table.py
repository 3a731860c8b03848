"""The numbers of free answers as text."""

from collections.abc import Mapping

from lit_unlearn.answers.measures import Measured
from lit_unlearn.answers.outcomes import PREFIX, Outcomes, SetOutcomes
from lit_unlearn.runs.tables import aligned

_COLUMNS = {
    "probability": "probability",
    "accuracy": "accuracy",
    "MC2": "mc2",
    "truth ratio": "truth_ratio",
    "ROUGE-L recall": "rouge_recall",
    "ROUGE-L F1, unstemmed": "rouge_f1_unstemmed",
    "extraction": "extraction_strength",
    "memorised": "exact_memorisation",
    "Min-K %": "min_k",
    "gibberish": "gibberish",
}
_OF_TEXTS = {"log p": "loss"}
_OF_UTILITY = {"word F1": "word_f1", "exact match": "exact_match", "entropy, bits": "entropy"}
_OF_ALL = {
    "model_utility": "model utility {:.3f}",
    "forget_quality": "forget quality {:.3g} (p of KS against the reference)",
    "membership_auc": "membership AUC {:.3f} (Min-K %, unseen over forget)",
    "privacy_leakage": "PrivLeak {:.1f} %",
}


def answers_table(measured: Measured, found: Outcomes) -> str:
    """The numbers as text: of all sets, of some what RWKU reports of them, and what is of all sets together.

    Args:
        measured: by name.
        found: the outcomes that they are of.
    """
    rows = {name: str(len(one["row"])) for name, one in found.items()}
    others = {name: columns for name, one in found.items() if (columns := _reported_by_rwku(one))}
    everything = measured.get(PREFIX, {})
    told = [text.format(value) for key, text in _OF_ALL.items() if (value := everything.get(key)) is not None]
    tables = [
        _lines("answers", measured, dict.fromkeys(found, _COLUMNS), {"rows": rows}),
        _lines("of these", measured, others, {}) if others else [],
    ]
    return "\n".join([*(line for lines in tables for line in lines), *([", ".join(told)] if told else [])])


def _reported_by_rwku(one: SetOutcomes) -> dict[str, str]:
    """What RWKU reports of a set of texts alone, and of one about general knowledge or without right answers."""
    if one.get("texts_alone", False):
        return _OF_TEXTS
    return _OF_UTILITY if "ratio" not in one and (one["role"] == "general" or "probability" not in one) else {}


def _lines(
    head: str, measured: Measured, columns: Mapping[str, Mapping[str, str]], given: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """A table of sets, each with the columns that are its own; of these what any set has."""
    sets = {
        name: {shown: _shown(measured[f"{PREFIX}/{name}"], key) for shown, key in own.items()}
        for name, own in columns.items()
    }
    heads = [
        shown
        for shown in dict.fromkeys(shown for own in columns.values() for shown in own)
        if any(one.get(shown) for one in sets.values())
    ]
    rows = [
        [name, *(cells[name] for cells in given.values()), *(one.get(shown, "") for shown in heads)]
        for name, one in sets.items()
    ]
    return aligned([[head, *given, *heads], *rows], numbers=True) if heads else []


def _shown(row: Mapping[str, float | None], key: str) -> str:
    value, error = row.get(key), row.get(f"{key}_error")
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")
