"""Bootstrap intervals against scipy's, and against draws written out."""

import numpy as np
import pytest
import scipy.stats

from lit_unlearn.answers.intervals import with_intervals
from lit_unlearn.answers.measures import measure
from lit_unlearn.answers.outcomes import Outcomes, SetOutcomes

SOURCE = np.random.default_rng(5)


def outcomes(*, shift: float = 0.0, rows: int = 30) -> Outcomes:
    found: Outcomes = {}
    for role, centre in (("forget", -1.0 + shift), ("holdout", -2.0), ("retain", -1.5)):
        values = [*map(float, SOURCE.normal(centre, 1, rows))]
        one = SetOutcomes(role=role, fingerprint=role, row=[*range(rows)])  # type: ignore[typeddict-item]
        for name in ("loss", "zlib", "min_k", "min_k_plus"):
            one[name] = values
        found[role] = one | {"probability": [float(np.exp(value)) for value in values]}
    found["retain"] |= {"ratio": [0.5] * rows, "rouge_recall": [0.1, 0.9] * (rows // 2)}
    return found


def test_the_mean_of_a_set_has_scipys_interval() -> None:
    found = outcomes()
    measured = with_intervals(measure(found, None), found, None, samples=20_000)
    values = found["retain"]["rouge_recall"]
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, random_state=1)
    row = measured["answers/retain"]
    assert (row["rouge_recall_low"], row["rouge_recall_high"]) == pytest.approx(
        (theirs.confidence_interval.low, theirs.confidence_interval.high), abs=0.015
    )
    assert row["truth_ratio_low"] == row["truth_ratio_high"] == row["truth_ratio"] == 0.5


def test_the_auc_has_the_interval_of_rows_drawn_on_both_sides() -> None:
    found = outcomes()
    everything = with_intervals(measure(found, None), found, None, samples=5_000)["answers"]
    unseen, trained = (np.asarray(found[name]["min_k"]) for name in ("holdout", "forget"))
    source, drawn = np.random.default_rng(0), []
    for _ in range(5_000):
        first, second = (source.choice(one, len(one)) for one in (unseen, trained))
        drawn.append((first[:, None] > second).mean() + 0.5 * (first[:, None] == second).mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (everything["membership_auc_low"], everything["membership_auc_high"]) == pytest.approx((low, high), abs=0.02)
    assert (everything["membership_auc_low"] or 1) < (everything["membership_auc"] or 0)


def test_model_and_reference_have_the_same_rows_in_a_sample() -> None:
    found = outcomes()
    everything = with_intervals(measure(found, found), found, found, samples=1_000)["answers"]
    assert everything["privacy_leakage"] == everything["privacy_leakage_low"] == everything["privacy_leakage_high"] == 0
    assert "forget_quality_low" not in everything
    assert everything["membership_auc_reference_low"] == pytest.approx(0.5)


def test_the_utility_is_within_its_interval() -> None:
    found = outcomes()
    everything = with_intervals(measure(found, None), found, None, samples=1_000)["answers"]
    low, value, high = (everything[f"model_utility{end}"] or 0 for end in ("_low", "", "_high"))
    assert low < value < high


def test_an_auc_of_the_retained_model_that_is_known_alone() -> None:
    found = outcomes()
    measured = measure(found, None, retrained_auc=0.4)
    everything = with_intervals(measured, found, None, samples=1_000, retrained_auc=0.4)["answers"]
    auc, low = (everything[name] or 0 for name in ("membership_auc", "membership_auc_low"))
    assert everything["privacy_leakage"] == pytest.approx(100 * (auc - 0.4) / 0.4)
    assert everything["privacy_leakage_low"] == pytest.approx(100 * (low - 0.4) / 0.4)
