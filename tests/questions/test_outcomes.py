from collections.abc import Sequence

import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.baselines import Baselines
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.statistics import Estimate

CLEAN = Variant("retain", DEFAULT, False)
PERTURBED = Variant("retain", "1 token", False)
CONTROL = Variant("retain", "1 token", True)
FORGET = Variant("forget", DEFAULT, False)
ASKED: dict[Variant, dict[str, Sequence[float]]] = {
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


def test_the_commonest_letter_and_the_wrong_answers_that_are_it() -> None:
    measured = outcomes.measure(ASKED)
    perturbed, forget = measured[PERTURBED], measured[FORGET]
    assert (perturbed["commonest"], perturbed["commonest_share"]) == ("A", 0.5)  # of equally many the first
    assert perturbed["collapse_rate"] == pytest.approx(1 / 3)
    assert (forget["commonest"], forget["commonest_share"], forget["collapse_rate"]) == ("A", 1.0, 1.0)
    right = {CLEAN: {"number": [0, 1], "correct": [1, 1], "prediction": [2, 2]}}
    assert outcomes.measure(right)[CLEAN]["collapse_rate"] is None


def test_log_probabilities_are_averaged_logged_and_shown_where_there_are_any() -> None:
    logprobs = {"letter_logprob": [-1.0, -3.0], "text_logprob": [-4.0, -8.0]}
    asked: dict[Variant, dict[str, Sequence[float]]] = {**ASKED, FORGET: {**ASKED[FORGET], **logprobs}}
    measured = outcomes.measure(asked)
    assert (measured[FORGET]["letter_logprob"], measured[FORGET]["letter_logprob_error"]) == (-2.0, 1.0)
    values = outcomes.log_values(measured, forget=["forget"])
    assert (values["forget/text_logprob"], values["forget/letter_logprob"]) == (-6.0, -2.0)
    assert (values["forget/commonest_share"], values["forget/collapse_rate"]) == (1.0, 1.0)
    assert "retain/text_logprob" not in values
    lines = outcomes.accuracy_table(measured).splitlines()
    assert lines[0].split()[-6:] == ["log", "p", "letter", "log", "p", "text"]
    assert lines[-1].endswith("-2.00 ± 1.00  -6.00 ± 2.00")


def test_log_probabilities_are_kept_for_the_variants_that_have_them() -> None:
    rows = {"correct": [1, 0], "prediction": [0, 1], "number": [3, 3], "variant": [0, 1]}
    batch = {name: torch.tensor(values) for name, values in rows.items()}
    batch |= {"letter_logprob": torch.tensor([-0.5, -1.5]), "text_logprob": torch.tensor([-2.0, torch.nan])}
    joined = outcomes.joined([batch])
    assert outcomes.of(0, joined)["text_logprob"] == [-2.0]
    assert outcomes.of(1, joined)["letter_logprob"] == [-1.5]
    assert "text_logprob" not in outcomes.of(1, joined)
    # A process without any row of a variant does not know whether the others have it.
    empty = outcomes.of(2, joined)
    assert outcomes.merged([empty, outcomes.of(1, joined)]) == outcomes.of(1, joined)
    assert outcomes.merged([outcomes.of(0, joined), empty]) == outcomes.of(0, joined)


def test_held_out_rows_count_once_and_are_told_in_a_line() -> None:
    names = ("forget_row", "forget_nll", "retain_row", "retain_nll")
    batches = [
        dict(zip(names, (torch.tensor(own) for own in rows), strict=True))
        for rows in (([1, 0], [2.0, 1.0], [0, 1], [0.5, 1.5]), ([3, 2], [4.0, 3.0], [0, 1], [0.5, 1.5]))
    ]
    found = outcomes.held_out(batches)
    assert found == {
        "forget": {"row": [0, 1, 2, 3], "nll": [1.0, 2.0, 3.0, 4.0]},
        "retain": {"row": [0, 1], "nll": [0.5, 1.5]},
    }
    told = "held-out rows, NLL in nats per token: forget 2.500 ± 0.645, retain 1.000 ± 0.500"
    assert outcomes.held_out_line(found) == told


def test_a_cloze_set_has_two_accuracies_and_every_set_its_baselines() -> None:
    norm = {"correct_norm": [1, 1, 1, 1], "prediction_norm": [0, 1, 2, 3]}
    measured = outcomes.measure(ASKED | {CLEAN: ASKED[CLEAN] | norm})
    assert (measured[CLEAN]["accuracy"], measured[CLEAN]["accuracy_norm"]) == (0.75, 1.0)
    assert measured[CLEAN]["accuracy_norm_error"] == 0.0
    assert "accuracy_norm" not in measured[FORGET]
    assert outcomes.log_values(measured, forget=["forget"])["retain/accuracy_norm"] == 1.0
    guesses = {"retain": Baselines(Estimate(0.5, 0.25), "B", Estimate(0.25, None))}
    lines = outcomes.accuracy_table(measured, guesses).splitlines()
    assert lines[0].split()[:4] == ["questions", "accuracy", "per", "character"]
    assert lines[1].split()[:7] == ["retain", "75.0", "±", "25.0", "100.0", "±", "0.0"]
    assert lines[-2].split() == ["retain:", "longest", "option", "50.0", "±", "25.0"]
    assert lines[-1].split() == ["retain:", "always", "B", "25.0"]


def test_the_table_is_in_percent_with_errors() -> None:
    lines = outcomes.accuracy_table(outcomes.measure(ASKED)).splitlines()
    assert lines[0].split() == ["questions", "accuracy", "drop", "flipped", "commonest", "collapse"]
    assert lines[1].split() == ["retain", "75.0", "±", "25.0", "A", "50.0", "100.0"]
    assert lines[2] == "retain/1 token          25.0 ± 25.0  50.0 ± 28.9  50.0 ± 28.9     A 50.0      33.3"
