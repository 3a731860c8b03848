"""The bootstrap against one that draws rows of a table, sample by sample."""

import numpy as np
import pytest

from lit_unlearn.questions import resampling
from lit_unlearn.questions.resampling import Resampling, spanned


def test_the_mean_over_all_samples_is_that_of_the_values() -> None:
    values = np.random.default_rng(0).normal(size=(3, 2, 50)) + np.array([0, 5, -3])[:, None, None]
    drawn = Resampling(2).means(values, "a")
    assert drawn.shape == (10_000, 3)
    assert drawn.mean(axis=0) == pytest.approx(values.mean(axis=(1, 2)), abs=0.02)


def test_one_seed_is_not_drawn_and_the_spread_is_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1, 400))
    assert Resampling(1).means(values, "a").std() == pytest.approx(values.std() / 20, rel=0.03)


def test_several_seeds_are_drawn_with_the_questions() -> None:
    values = np.random.default_rng(0).normal(size=(3, 60)) + np.array([[-1.0], [0.0], [2.0]])
    source = np.random.default_rng(1)
    expected = [values[source.integers(3, size=3)][:, source.integers(60, size=60)].mean() for _ in range(5000)]
    found = Resampling(3).interval(values, "a")
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(expected, [0.025, 0.975]), abs=0.06)


def test_a_set_is_drawn_once_for_all_and_another_set_again() -> None:
    values = np.random.default_rng(0).normal(size=(1, 1, 30))
    draws = Resampling(1, samples=50)
    first, again, other = (draws.means(values, name) for name in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, Resampling(1, samples=50, seed=1).means(values, "a"))


def test_a_difference_is_paired() -> None:
    first = np.random.default_rng(0).normal(scale=9, size=(1, 200))
    found = Resampling(1).interval(first + 0.1 - first, "a")
    assert found == pytest.approx((0.1, 0.1, 0.1))


def test_parts_of_the_samples_are_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(2, 2, 30))
    whole = Resampling(2, samples=100).means(values, "a")
    for counts in (7 * 30, 1):
        monkeypatch.setattr(resampling, "_COUNTS", counts)
        assert Resampling(2, samples=100).means(values, "a") == pytest.approx(whole, rel=1e-9)


def test_the_interval_is_of_95_percent() -> None:
    assert spanned(7.0, np.arange(1001.0)) == (7.0, 25.0, 975.0)
