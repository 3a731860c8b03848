"""How well each score finds rows whose class was changed, and from which score on a row is listed."""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from lit_unlearn.commands.analysis.strays.planting import DRAWS, plant
from lit_unlearn.commands.analysis.strays.precision import average_precision, precision_recall
from lit_unlearn.commands.analysis.strays.scores import SCORES, TRIVIAL, Measured, all_scores

_PRECISION = 0.5
"""A row is listed where at least this share of the rows with its score or a lower one had been planted."""
_LEAST = 2.0
"""Times chance: a score that finds planted rows no better says nothing."""


class Draw(NamedTuple):
    """One choice of planted rows, and what the scores said."""

    wrong: Tensor
    """bool `[rows]`."""
    scores: dict[str, Tensor]


class Accuracy(NamedTuple):
    """What the draws say of the scores."""

    chance: float
    """The share of planted rows, which is the average precision of a score that says nothing."""
    precision: dict[str, list[float]]
    """The average precision of each score, by draw."""
    best: str | None
    """The best of TRIVIAL; None where none has more than twice chance: the streams are not distinguishable."""
    threshold: float
    """Of that score, up to which a row is listed; -inf lists none."""

    def mean(self, score: str) -> float:
        """Average precision, the mean of draws."""
        return fmean(self.precision[score])

    def deviation(self, score: str) -> float:
        """Its standard deviation over draws."""
        return stdev(self.precision[score])


def planted(rows: Measured, tokens: Sequence[Sequence[int]], labels: Tensor) -> list[Draw]:
    """Scores all rows under labels of which a tenth is wrong, for each draw.

    Args:
        rows: what scores read.
        tokens: ids of each row.
        labels: class of each row as given, int64 `[rows]`.
    """
    found = []
    for draw in tqdm(range(DRAWS), desc="planted rows", unit="draw"):
        wrong = plant(tokens, labels, rows.classes, draw=draw)
        found.append(Draw(wrong.wrong, all_scores(rows, wrong.labels)))
    return found


def accuracy(draws: Sequence[Draw]) -> Accuracy:
    """The average precision of each score, the best, and its threshold.

    Args:
        draws: of planted rows.
    """
    chance = fmean(float(one.wrong.double().mean()) for one in draws)
    precision = {name: [average_precision(one.scores[name], one.wrong) for one in draws] for name in SCORES}
    best = max(TRIVIAL, key=lambda name: fmean(precision[name]))
    if fmean(precision[best]) <= _LEAST * chance:
        return Accuracy(chance, precision, None, float("-inf"))
    return Accuracy(chance, precision, best, fmean(threshold(one.scores[best], one.wrong) for one in draws))


def threshold(scores: Tensor, wrong: Tensor) -> float:
    """The highest score up to which at least half of the rows were planted; below all scores where there is none.

    Args:
        scores: low where a row is suspicious, `[rows]`.
        wrong: bool `[rows]`, which were planted.

    Example:
        >>> import torch
        >>> threshold(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([True, False, False, False]))
        2.0
    """
    curve = precision_recall(scores, wrong)
    enough = curve.thresholds[curve.precision >= _PRECISION]
    return float(enough[-1]) if len(enough) else float(curve.thresholds[0]) - 1
