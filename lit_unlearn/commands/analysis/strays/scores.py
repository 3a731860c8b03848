"""All scores of rows under some labels; low is suspicious. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from lit_unlearn.commands.analysis.strays import classifier, influence
from lit_unlearn.commands.analysis.strays.features import features, with_constant
from lit_unlearn.commands.analysis.strays.nearest import Neighbours, nearest, own_share
from lit_unlearn.data import naive_bayes

TRIVIAL = ("nearest rows", "tokens", "classifier")
"""Scores that need no trusted rows, and of which the best orders the list."""
_KINDS = ("gradient dot", "gradient cosine", "influence", "TracIn")
SCORES = (*TRIVIAL, *(f"{kind}{how}" for kind in _KINDS for how in ("", " by class")))


class Trusted(NamedTuple):
    """Rows whose class is known."""

    states: Tensor
    """Means over tokens, `[trusted, dim]`."""
    labels: Tensor
    """int64 `[trusted]`."""


class Measured(NamedTuple):
    """What scores read of rows, whatever their labels are."""

    classes: int
    inputs: Tensor
    """[φ, 1], float64 `[rows, dim + 1]`."""
    near: Neighbours
    tokens: naive_bayes.TokenRows
    fold: Tensor
    """int64 `[rows]`."""
    trusted: tuple[Tensor, Tensor] | None
    """[φ, 1] and labels of rows whose class is known; None takes all other rows as references."""


def measured(
    states: Tensor, rows: Sequence[Sequence[int]], special: Sequence[int], classes: int, trusted: Trusted | None = None
) -> Measured:
    """What scores read of rows.

    Args:
        states: means over tokens, `[rows, dim]`.
        rows: token ids of each.
        special: ids that do not count.
        classes: how many there are.
        trusted: rows whose class is known.
    """
    found = features(states, classes)
    phi = found.of(states)
    tokens, fold = naive_bayes.token_rows(rows, special), naive_bayes.folds(rows)
    known = None if trusted is None else (with_constant(found.of(trusted.states)), trusted.labels)
    return Measured(classes, with_constant(phi), nearest(phi), tokens, fold, known)


def trivial_scores(rows: Measured, labels: Tensor) -> dict[str, Tensor]:
    """Scores that need no trusted rows, `[rows]` each.

    Args:
        rows: what they read.
        labels: class of each row, int64 `[rows]`.
    """
    likelihood = naive_bayes.out_of_fold(rows.tokens, labels, rows.fold, rows.classes)
    logarithms = classifier.out_of_fold(rows.inputs, labels, rows.fold, rows.classes)
    return {
        "nearest rows": own_share(rows.near, labels),
        "tokens": naive_bayes.margins(likelihood, labels),
        "classifier": logarithms.gather(1, labels[:, None])[:, 0],
    }


def influence_scores(rows: Measured, labels: Tensor) -> dict[str, Tensor]:
    """Class-based influence functions, each as a plain sum over references and by class, `[rows]` each.

    Args:
        rows: what they read.
        labels: class of each row, int64 `[rows]`.
    """
    inputs, rate = rows.inputs, classifier.rate(rows.inputs)
    weights = classifier.trained(inputs, labels, rows.classes, rate=rate)
    own = [influence.gradients(inputs, labels, weight) for weight in weights]
    others = None if rows.trusted is None else [influence.gradients(*rows.trusted, weight) for weight in weights]
    last = None if others is None else others[-1]
    found = (
        influence.gradient_dot(own[-1], last),
        influence.gradient_cosine(own[-1], last),
        influence.influence(own[-1], last, influence.damped_hessian(own[-1], weights[-1])),
        influence.tracin(own, others, rate=rate),
    )
    return _named(dict(zip(_KINDS, found, strict=True)))


def all_scores(rows: Measured, labels: Tensor) -> dict[str, Tensor]:
    """Every score of SCORES, `[rows]` each.

    Args:
        rows: what they read.
        labels: class of each row, int64 `[rows]`.
    """
    return trivial_scores(rows, labels) | influence_scores(rows, labels)


def _named(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for kind, one in sums.items():
        found |= {kind: influence.plain(one), f"{kind} by class": influence.by_class(one)}
    return found
