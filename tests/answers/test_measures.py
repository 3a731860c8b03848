"""What several sets give together."""

import math

import pytest

from lit_unlearn.answers import likelihood, membership
from lit_unlearn.answers.measures import compared_sets, log_values, measure
from lit_unlearn.answers.outcomes import Outcomes


def one(role: str, loss: list[float], **more: object) -> object:
    names = ("loss", "zlib", "min_k", "min_k_plus")
    return {"role": role, "fingerprint": role, "row": [*range(len(loss))]} | dict.fromkeys(names, loss) | more


def some(**sets: object) -> Outcomes:
    return sets  # type: ignore[return-value]


FORGET, HOLDOUT = [-1.0, -3.0, -2.0], [-2.5, -4.0, -0.5]


def test_texts_alone_are_compared_with_texts_alone() -> None:
    alone = {"texts_alone": True}
    found = some(
        questions=one("forget", [0.0, 0.0]), texts=one("forget", FORGET, **alone), new=one("holdout", HOLDOUT, **alone)
    )
    assert compared_sets(found) == (["texts"], ["new"])
    assert measure(found, None)["answers"]["membership_auc"] == membership.auc(HOLDOUT, FORGET)
    del found["texts"]
    assert compared_sets(found) == ([], [])
    assert "answers" not in measure(found, None)


def test_the_attack_with_a_reference_is_of_differences() -> None:
    found = some(forget=one("forget", FORGET), new=one("holdout", HOLDOUT))
    other = some(forget=one("forget", [-0.5, -0.5, -0.5]), new=one("holdout", [-4.0, -4.0, -4.0]))
    measured = measure(found, other, other)["answers"]
    expected = membership.auc([value + 4 for value in HOLDOUT], [value + 0.5 for value in FORGET])
    assert measured["membership_auc_reference"] == measured["membership_auc_base"] == pytest.approx(expected)
    assert expected == 1
    assert membership.auc(HOLDOUT, FORGET) == pytest.approx(4 / 9)
    assert measure(found, found, found)["answers"]["membership_auc_base"] == 0.5


def test_nothing_compares_with_a_reference_that_knows_all_rows() -> None:
    found = some(forget=one("forget", FORGET), new=one("holdout", HOLDOUT))
    knowing = some(forget=one("forget", [0.0, 0.0, 0.0]), new=one("holdout", HOLDOUT))
    assert "privacy_leakage" not in measure(found, knowing)["answers"]
    assert measure(found, found)["answers"]["privacy_leakage"] == 0


def test_a_reference_of_other_rows_attacks_nothing() -> None:
    found = some(forget=one("forget", FORGET), new=one("holdout", HOLDOUT))
    other = some(forget=one("forget", [-1.0, -1.0]), new=one("holdout", HOLDOUT))
    assert "membership_auc_base" not in measure(found, None, other)["answers"]


def test_ends_of_intervals_are_not_logged() -> None:
    logged = log_values({"answers": {"membership_auc": 0.5, "membership_auc_low": 0.4, "membership_auc_high": 0.6}})
    assert logged == {"answers/membership_auc": 0.5}


def test_answers_farther_apart_than_numbers_go_have_a_truth_ratio() -> None:
    for right, wrong in (([[-1600.0]], [[-5.0]]), ([[-5.0]], [[-1600.0]])):
        ratio = likelihood.truth_ratio(right, wrong)
        assert math.isfinite(ratio)
        assert likelihood.indistinguishable(ratio) == pytest.approx(0.0, abs=1e-300)
    assert likelihood.truthful(likelihood.truth_ratio([[-1600.0]], [[-5.0]])) == 0
