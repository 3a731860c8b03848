"""The letter that a model predicts most often, and how many of its wrong answers are that letter: a collapse."""

from collections import Counter
from typing import NamedTuple

from lit_unlearn.commands.report.runs import ReportedModel


class Letters(NamedTuple):
    """Of one model on one variant, over all seeds."""

    commonest: str
    share: float
    """Of all answers, 0 to 1."""
    collapse_rate: float | None
    """The share of wrong answers that are the commonest letter; None where no answer is wrong."""


def letters(model: ReportedModel, variant: str) -> Letters:
    """What a model predicts most often; of equally frequent letters the first."""
    asked = [answers[variant] for answers in model.outcomes]
    predicted = [letter for found in asked for letter in found["prediction"]]
    counts = Counter(predicted)
    commonest = min(counts, key=lambda letter: (-counts[letter], letter))
    wrong = [
        letter
        for found in asked
        for letter, right in zip(found["prediction"], found["correct"], strict=True)
        if not right
    ]
    collapse = wrong.count(commonest) / len(wrong) if wrong else None
    return Letters(chr(ord("A") + int(commonest)), counts[commonest] / len(predicted), collapse)


def letters_shown(found: Letters) -> str:
    """A cell: `C 100 %, collapsed 100 %`."""
    collapse = "none wrong" if found.collapse_rate is None else f"collapsed {100 * found.collapse_rate:.0f} %"
    return f"{found.commonest} {100 * found.share:.0f} %, {collapse}"
