"""The bootstrap of everything that is compared on the same questions and the same seeds of runs."""

import zlib

import numpy as np

from lit_unlearn.questions.statistics import Interval

_COUNTS = 2**22
"""Counts held at a time: 32 MiB as integers, and as much again as floats."""


class Resampling:
    """Draws seeds of runs, and questions of each set, with replacement: once per sample, for all that is compared.

    The draws are functions of `seed` and of the set's name, so that every call sees the same questions in a sample.

    Args:
        seeds: how many runs of different seeds there are; one is not drawn again.
        seed: of the bootstrap.
        samples: of the bootstrap.
    """

    def __init__(self, seeds: int, *, seed: int = 0, samples: int = 10_000) -> None:
        self.seed = seed
        self.samples = samples
        self._seeds = self._source("seeds of runs").multinomial(seeds, [1 / seeds] * seeds, size=samples)

    def means(self, values: np.ndarray, questions: str) -> np.ndarray:
        """The mean of each of several models in every sample, over its seeds and the questions.

        Args:
            values: `[models, seeds, questions]`.
            questions: name of the set that was asked.

        Returns:
            float64 `[samples, models]`.
        """
        models, seeds, count = values.shape
        flat = values.reshape(-1, count).T.astype(np.float64)
        source, drawn = self._source(questions), []
        for start in range(0, self.samples, max(1, _COUNTS // count)):
            samples = min(self.samples - start, max(1, _COUNTS // count))
            drawn.append(_counts(source, samples, count) @ flat)
        by_seed = np.concatenate(drawn).reshape(self.samples, models, seeds)
        found: np.ndarray = np.einsum("nms,ns->nm", by_seed, self._seeds) / (seeds * count)
        return found

    def interval(self, values: np.ndarray, questions: str) -> Interval:
        """The mean over seeds and questions with its 95 % interval.

        Args:
            values: `[seeds, questions]`, such as paired differences.
            questions: name of the set that was asked.
        """
        return spanned(float(values.mean()), self.means(values[None], questions)[:, 0])

    def _source(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


def spanned(value: float, drawn: np.ndarray) -> Interval:
    """A number with the 95 % percentile interval of its samples.

    Example:
        >>> spanned(2.0, np.arange(41.0))
        Interval(value=2.0, low=1.0, high=39.0)
    """
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _counts(source: np.random.Generator, samples: int, count: int) -> np.ndarray:
    """How often each question is drawn, float64 `[samples, count]`; numpy's multinomial takes ten times as long."""
    drawn = source.integers(count, size=(samples, count)) + count * np.arange(samples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=samples * count)
    return counts.reshape(samples, count).astype(np.float64)
