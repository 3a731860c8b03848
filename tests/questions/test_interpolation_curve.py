import numpy as np
import pytest

from lit_unlearn.questions.interpolation_curve import accuracy_at, beyond, reaches

FORGETTING, ACCURACY = np.array([0.0, -2.0, -6.0, -10.0]), np.array([1.0, 0.9, 0.8, 0.4])


def at(level: float, forgetting: np.ndarray = FORGETTING, accuracy: np.ndarray = ACCURACY) -> float:
    return float(accuracy_at(np.array([level]), forgetting[None], accuracy[None])[0])


@pytest.mark.parametrize(
    ("level", "accuracy"),
    [(0.0, 1.0), (-1.0, 0.95), (-2.0, 0.9), (-4.0, 0.85), (-7.0, 0.7), (-10.0, 0.4)],
)
def test_it_is_a_straight_line_between_two_points(level: float, accuracy: float) -> None:
    assert at(level) == pytest.approx(accuracy)
    assert at(-level, -FORGETTING) == pytest.approx(accuracy)


def test_the_first_passage_from_the_base_counts() -> None:
    back = np.array([0.0, -4.0, -1.0, -8.0])
    assert at(-2.0, back) == pytest.approx(0.95)
    assert at(-6.0, back) == pytest.approx(0.8 + 5 / 7 * (0.4 - 0.8))


def test_points_with_one_forgetting_are_read_at_the_first() -> None:
    assert at(-2.0, np.array([0.0, -2.0, -2.0, -3.0])) == pytest.approx(0.9)
    assert at(0.0, np.array([0.0, 0.0, -2.0, -3.0])) == 1.0


def test_beyond_its_ends_nothing_is_known_and_a_sample_has_its_nearest_point() -> None:
    assert [reaches(level, FORGETTING) for level in (0.1, 0.0, -5.0, -10.0, -10.1)] == [False, True, True, True, False]
    assert at(0.1) == 1.0
    assert at(-10.1) == 0.4


def test_every_sample_is_read_on_its_own_curve() -> None:
    source = np.random.default_rng(0)
    level = source.uniform(-9, -1, size=200)
    forgetting = np.sort(source.uniform(-10, 0, size=(200, 5)))[:, ::-1]
    forgetting[:, 0], forgetting[:, -1] = 0, -10
    accuracy = source.uniform(size=(200, 5))
    expected = [np.interp(-one, -own, right) for one, own, right in zip(level, forgetting, accuracy, strict=True)]
    assert accuracy_at(level, forgetting, accuracy) == pytest.approx(np.array(expected))


def test_the_difference_is_the_runs_accuracy_less_the_curves() -> None:
    forgetting, accuracy = np.append(-4.0, FORGETTING)[None], np.append(0.88, ACCURACY)[None]
    assert beyond(forgetting, accuracy) == pytest.approx([0.03])
