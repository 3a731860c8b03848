"""What is tried after a training that did not reach the aim."""

import math

import pytest

from lit_unlearn import InputError
from lit_unlearn.commands.scale.aim import Aim, following, reaches, worth
from lit_unlearn.commands.scale.probe import Probe
from lit_unlearn.commands.scale.settings import Settings
from lit_unlearn.commands.scale.watch import Likelihood, Retained

AIM = Aim(steps=120, forget=1.2, retain=0.02, probes=4)


def probe(weight: float, forget: float, retain: float, lr: float = 1e-3) -> Probe:
    retained = Retained(3.0, 3.0 + retain, retain, [])
    return Probe(lr, weight, [5.0], [0.0], Likelihood(3.0, 3.0 + forget), retained, 1.0, 0.1)


def settings(weight: float | list[float]) -> Settings:
    return Settings(layer=7, learning_rate=1e-3, retain_weight=weight, steps=120)


def test_enough_forgotten_at_no_more_than_may_be_lost() -> None:
    assert reaches(probe(100, 1.3, 0.01), AIM)
    assert not reaches(probe(100, 1.3, 0.03), AIM)
    assert not reaches(probe(100, 1.1, 0.01), AIM)
    assert not reaches(probe(100, 1.3, 0.01)._replace(forget_loss=[math.nan]), AIM)


def test_the_retain_weight_is_looked_for_between_too_dear_and_too_little() -> None:
    little, dear = probe(100, 0.1, 0.0), probe(25, 2.0, 0.1)
    assert following(settings(100.0), [little], AIM).retain_weight == 25.0
    assert following(settings(25.0), [dear], AIM).retain_weight == 100.0
    assert following(settings(25.0), [little, dear], AIM).retain_weight == pytest.approx(50.0)
    assert following(settings(50.0), [little, dear, probe(50, 0.5, 0.01)], AIM).retain_weight == pytest.approx(
        1250**0.5, rel=0.01
    )


def test_a_weight_for_each_topic_keeps_its_proportion() -> None:
    found = following(settings([100.0, 20.0]), [probe(100, 0.1, 0.0)], AIM)
    assert found.retain_weight == [25.0, 5.0]


def test_where_both_go_wrong_or_it_diverges_it_learns_slower() -> None:
    assert following(settings(100.0), [probe(100, 0.1, 0.1)], AIM).learning_rate == 5e-4
    diverged = probe(100, 0.1, 0.1)._replace(forget_loss=[math.inf])
    assert following(settings(100.0), [diverged], AIM).learning_rate == 2.5e-4


def test_another_learning_rate_has_a_range_of_its_own() -> None:
    slower = probe(25, 0.4, 0.01, lr=5e-4)
    assert following(settings(25.0), [probe(25, 0.1, 0.1), slower], AIM).retain_weight == 6.25


def test_of_those_that_do_not_reach_it_the_one_that_keeps_is_best() -> None:
    keeps, keeps_less, dear = probe(100, 0.8, 0.01), probe(200, 0.3, 0.0), probe(25, 4.0, 0.1)
    diverged = dear._replace(forget_loss=[math.nan])
    assert max([diverged, dear, keeps_less, keeps], key=lambda one: worth(one, AIM)) == keeps
    assert max([diverged, dear], key=lambda one: worth(one, AIM)) == dear


@pytest.mark.parametrize(
    ("aim", "told"),
    [
        (AIM._replace(steps=0), r"scale.steps: must be at least 1, got 0"),
        (AIM._replace(probes=0), r"scale.probes: must be at least 1, got 0"),
        (AIM._replace(forget=-1.0), r"scale.forget: must be above 0 nats, got -1.0"),
        (AIM._replace(retain=math.inf), r"scale.retain: must be above 0 nats and finite, got inf"),
    ],
)
def test_an_aim_that_cannot_be_is_refused(aim: Aim, told: str) -> None:
    with pytest.raises(InputError, match=told):
        aim.checked()
