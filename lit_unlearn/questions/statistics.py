"""What the answers to questions say: accuracy, drop, flip rate, recovery rate, each with its uncertainty.

Every function takes the answers to the same questions in the same order. torchmetrics' accuracy is a float32 without a
standard error, and knows no paired differences, so that means are taken here in float64.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_unlearn.errors import InputError


class Estimate(NamedTuple):
    """A mean over questions."""

    value: float
    standard_error: float | None
    """None for a single question."""


class Interval(NamedTuple):
    """A number with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def mean(values: Tensor) -> Estimate:
    """A mean over questions with its standard error.

    Args:
        values: `[questions]`.

    Raises:
        InputError: no questions.

    Example:
        >>> from torch import tensor
        >>> mean(tensor([1.0, 3.0]))
        Estimate(value=2.0, standard_error=1.0)
    """
    _check_any(values)
    numbers = values.double()
    if len(numbers) == 1:
        return Estimate(numbers.item(), None)
    return Estimate(numbers.mean().item(), numbers.std().item() / math.sqrt(len(numbers)))


def accuracy(correct: Tensor) -> Estimate:
    """The share of right answers, 0 to 1, with the standard error of the harness.

    Args:
        correct: bool `[questions]`.

    Raises:
        InputError: no questions.

    Example:
        >>> from torch import tensor
        >>> accuracy(tensor([True, False, True, True]))
        Estimate(value=0.75, standard_error=0.25)
    """
    return mean(correct)


def drop(clean: Tensor, perturbed: Tensor) -> Estimate:
    """Accuracy lost under a perturbation; the standard error is that of paired differences.

    Args:
        clean: bool `[questions]`, whether the default query is answered correctly.
        perturbed: bool `[questions]`, whether the perturbed one is.

    Raises:
        InputError: no questions, or not equally many.
    """
    _check_paired(clean, perturbed)
    return mean(clean.double() - perturbed.double())


def flip_rate(first: Tensor, second: Tensor) -> Estimate:
    """The share of questions, 0 to 1, whose predicted option differs.

    Args:
        first: `[questions]`, indices of options.
        second: `[questions]`, those of the same questions asked otherwise.

    Raises:
        InputError: no questions, or not equally many.
    """
    _check_paired(first, second)
    return mean(first != second)


def recovery_rate(
    base: Tensor, method: Tensor, rna: Tensor, *, seed: int = 0, samples: int = 10_000, level: float = 0.95
) -> Interval | None:
    """How much of the accuracy under perturbation that a method costs comes back with Random Noise Augmentation.

    (acc_rna - acc_method) / (acc_base - acc_method), 1 where all comes back, with a percentile interval of a bootstrap
    over questions and, where there are several, over runs of different seeds.

    Args:
        base: bool `[questions]` or `[seeds, questions]`, right answers to perturbed queries before unlearning.
        method: the same after unlearning.
        rna: the same after unlearning with Random Noise Augmentation, seed by seed.
        seed: seed of the bootstrap.
        samples: of the bootstrap.
        level: coverage of the interval.

    Returns:
        None ("n/a") where the loss that could come back is not clearly above 0: the lower end of its own interval is
        not positive.

    Raises:
        InputError: no questions, or not equally many.

    Example:
        >>> from torch import arange
        >>> recovery_rate(arange(100) < 80, arange(100) < 40, arange(100) < 60).value
        0.5
    """
    _check_paired(base, method)
    _check_paired(base, rna)
    _check_any(base)
    answers = torch.stack([base, method, rna]).cpu().numpy().reshape(3, -1, base.shape[-1])
    drawn = _resampled(answers, np.random.default_rng(seed), samples)
    tail = (1 - level) / 2
    if np.quantile(drawn[:, 0] - drawn[:, 1], tail) <= 0:
        return None
    low, high = np.quantile(_rate(drawn), [tail, 1 - tail])
    return Interval(float(_rate(answers.sum(axis=(1, 2)))), float(low), float(high))


def _resampled(answers: np.ndarray, source: np.random.Generator, samples: int) -> np.ndarray:
    """Right answers `[samples, 3]` among those `[3, seeds, questions]` over seeds and questions drawn again."""
    seeds, questions = answers.shape[1:]
    # Questions answered alike by all are one pattern: resampling the patterns' counts is resampling the questions.
    patterns, counts = np.unique(answers.reshape(-1, questions), axis=1, return_counts=True)
    drawn = source.multinomial(questions, counts / questions, size=samples)
    right = (drawn @ patterns.T).reshape(samples, 3, seeds)
    chosen = source.integers(seeds, size=(samples, 1, seeds))
    total: np.ndarray = np.take_along_axis(right, chosen, axis=2).sum(axis=2)
    return total


def _rate(right: np.ndarray) -> np.ndarray:
    """The recovery rates of right answers `[..., 3]`: base, method, rna."""
    base, method, rna = np.moveaxis(right, -1, 0)
    # The few resamples that lost nothing stand at the interval's far ends.
    rate: np.ndarray = (rna - method) / np.maximum(base - method, 1e-9)
    return rate


def _check_any(values: Tensor) -> None:
    if len(values) == 0:
        raise InputError("questions: there are no answers to average; check the question source and its limit")


def _check_paired(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        counts = (" × ".join(map(str, answers.shape)) for answers in (first, second))
        raise InputError(f"questions: {' answers against '.join(counts)}; compare answers to the same questions")
