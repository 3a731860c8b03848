import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.sets import DEFAULT, Variant

CLEAN = Variant("retain", DEFAULT, False)
PERTURBED = Variant("retain", "1 token", False)
CONTROL = Variant("retain", "1 token", True)
FORGET = Variant("forget", DEFAULT, False)
ASKED = {
    CLEAN: {"number": [0, 1, 2, 3], "correct": [1, 1, 1, 0], "prediction": [0, 1, 2, 0]},
    PERTURBED: {"number": [0, 1, 2, 3], "correct": [1, 0, 0, 0], "prediction": [0, 3, 3, 0]},
    CONTROL: {"number": [0, 1, 2, 3], "correct": [1, 1, 0, 0], "prediction": [0, 1, 3, 0]},
    FORGET: {"number": [0, 1], "correct": [1, 0], "prediction": [0, 0]},
}


def test_a_perturbed_variant_is_compared_with_its_default() -> None:
    row = outcomes.measure(ASKED)[PERTURBED]
    assert (row["accuracy"], row["accuracy_drop"], row["flip_rate"]) == (0.25, 0.5, 0.5)
    assert row["accuracy_drop_error"] == pytest.approx((1 / 3) ** 0.5 / 2)


def test_log_values_have_the_variants_names() -> None:
    values = outcomes.log_values(outcomes.measure(ASKED), forget=["forget"])
    assert values["retain/accuracy"] == 0.75
    assert values["retain/1 token/accuracy_drop"] == 0.5
    assert values["retain/1 token/control/accuracy"] == 0.5
    assert not any(name.endswith("_error") for name in values)


def test_selectivity_is_retained_minus_forgotten_accuracy_without_controls() -> None:
    measured = outcomes.measure(ASKED)
    assert outcomes.log_values(measured, forget=["forget"])["selectivity"] == (0.75 + 0.25) / 2 - 0.5
    assert "selectivity" not in outcomes.log_values(measured, forget=["other"])


def test_batches_are_joined_and_processes_merged_by_number() -> None:
    names = ("correct", "prediction", "number", "variant")
    batch, other = (
        dict(zip(names, torch.tensor(row), strict=True)) for row in ([[1], [2], [5], [4]], [[0], [1], [3], [4]])
    )
    parts = [outcomes.joined([batch]), outcomes.joined([other])]
    assert outcomes.merged([outcomes.of(4, part) for part in parts]) == {
        "correct": [0, 1],
        "prediction": [1, 2],
        "number": [3, 5],
    }


def test_outcomes_without_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="no 'prediction' for questions; return correct, prediction, number"):
        outcomes.joined([{"correct": torch.tensor([True])}])


def test_the_table_is_in_percent_with_errors() -> None:
    lines = outcomes.accuracy_table(outcomes.measure(ASKED)).splitlines()
    assert lines[0].split() == ["questions", "accuracy", "drop", "flipped"]
    assert lines[1] == "retain                  75.0 ± 25.0"
    assert lines[2] == "retain/1 token          25.0 ± 25.0  50.0 ± 28.9  50.0 ± 28.9"
