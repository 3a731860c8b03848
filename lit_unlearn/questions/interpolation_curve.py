"""Accuracy beyond a method's own interpolation curve: what a run keeps at the forgetting that it has.

The points of the curve are the weights base + t · (unlearned - base) in the order of t. Between two neighbours it is a
straight line, and it ends where its points do.
"""

import numpy as np


def reaches(level: float, forgetting: np.ndarray) -> bool:
    """Whether a curve passes a level of forgetting; beyond its ends nothing is known of it.

    Args:
        level: of forgetting.
        forgetting: `[points]` of the curve.

    Example:
        >>> reaches(-3.0, np.array([0.0, -5.0])), reaches(-6.0, np.array([0.0, -5.0]))
        (True, False)
    """
    return bool(forgetting.min() <= level <= forgetting.max())


def accuracy_at(level: np.ndarray, forgetting: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """The accuracy of the curve where it first passes a level of forgetting; of its nearest point where it never does.

    Args:
        level: `[samples]`, of forgetting.
        forgetting: `[samples, points]`, of the curve.
        accuracy: `[samples, points]`, of the curve.

    Returns:
        `[samples]`.

    Example:
        >>> accuracy_at(np.array([-1.0]), np.array([[0.0, -4.0]]), np.array([[1.0, 0.6]]))
        array([0.9])
    """
    distances = forgetting - level[:, None]
    passes = distances[:, :-1] * distances[:, 1:] <= 0
    rows, first = np.arange(len(level)), passes.argmax(axis=1)
    before, after = distances[rows, first], distances[rows, first + 1]
    share = np.divide(before, before - after, out=np.zeros(len(level)), where=before != after)
    read = (1 - share) * accuracy[rows, first] + share * accuracy[rows, first + 1]
    nearest = accuracy[rows, np.abs(distances).argmin(axis=1)]
    found: np.ndarray = np.where(passes.any(axis=1), read, nearest)
    return found


def beyond(forgetting: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """The accuracy of a run minus that of the curve at the run's forgetting.

    Args:
        forgetting: `[samples, 1 + points]`, of the run and then of the curve's points.
        accuracy: the same of accuracies.

    Returns:
        `[samples]`.
    """
    difference: np.ndarray = accuracy[:, 0] - accuracy_at(forgetting[:, 0], forgetting[:, 1:], accuracy[:, 1:])
    return difference
