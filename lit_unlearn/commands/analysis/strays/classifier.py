"""A softmax classifier of streams on states: p = softmax(W [φ, 1]), by plain gradient descent. Pure functions."""

import torch
from torch import Tensor

from lit_unlearn.data.naive_bayes import FOLDS

STEPS = 100
"""Steps of gradient descent; the few steps are what keeps the classifier from learning wrong labels by heart."""
SNAPSHOTS = 5
"""States of it that TracIn reads, the last included, evenly spaced."""


def probabilities(inputs: Tensor, weight: Tensor) -> Tensor:
    """softmax(W [φ, 1]), `[rows, classes]`.

    Args:
        inputs: [φ, 1], `[rows, dim + 1]`.
        weight: `[classes, dim + 1]`.
    """
    return (inputs @ weight.T).softmax(dim=1)


def rate(inputs: Tensor) -> float:
    """The largest learning rate at which gradient descent surely descends: 1/L, L = λ_max(Σ x xᵀ / rows) / 2.

    Args:
        inputs: [φ, 1], `[rows, dim + 1]`.
    """
    return 2 / float(torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))[-1])


def trained(inputs: Tensor, labels: Tensor, classes: int, *, rate: float) -> list[Tensor]:
    """Snapshots of the classifier, `[classes, dim + 1]` each, while gradient descent takes it from 0.

    Args:
        inputs: [φ, 1], `[rows, dim + 1]`.
        labels: class of each row, int64 `[rows]`.
        classes: how many there are.
        rate: learning rate.
    """
    weight, wanted = inputs.new_zeros(classes, inputs.shape[1]), one_hot(labels, classes, inputs)
    found = []
    for step in range(1, STEPS + 1):
        weight = weight - rate * (probabilities(inputs, weight) - wanted).T @ inputs / len(inputs)
        if step % (STEPS // SNAPSHOTS) == 0:
            found.append(weight)
    return found


def out_of_fold(inputs: Tensor, labels: Tensor, fold: Tensor, classes: int) -> Tensor:
    """Log-probability of each class, of a classifier trained on the other folds: `[rows, classes]`.

    Args:
        inputs: [φ, 1], `[rows, dim + 1]`.
        labels: class of each row, int64 `[rows]`.
        fold: of each row, int64 `[rows]`.
        classes: how many there are.
    """
    found, speed = inputs.new_zeros(len(inputs), classes), rate(inputs)
    for one in range(FOLDS):
        own = fold == one
        weight = trained(inputs[~own], labels[~own], classes, rate=speed)[-1]
        found[own] = (inputs[own] @ weight.T).log_softmax(dim=1)
    return found


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """1 at each row's class, 0 at others: `[rows, classes]` in the dtype of `like`."""
    return torch.nn.functional.one_hot(labels, classes).to(like)
