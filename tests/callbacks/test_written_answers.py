"""What is written of each set, and what AnswerEvaluation measures beside the rows' scores on request."""

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn

from lit_unlearn import AnswerEvaluation, InputError, QuestionModule
from lit_unlearn.answers.plan import PlannedSet
from lit_unlearn.callbacks import answer_evaluation, written_answers
from lit_unlearn.callbacks.written_answers import stopped
from tests.answers.asked import sources
from tests.training import demo_data, quiet_trainer


def validate(world: Path, folder: Path, **options: Any) -> dict[str, Any]:
    trainer = quiet_trainer(folder, callbacks=[AnswerEvaluation(**options)])
    data = demo_data(world, answers=sources(folder.parent / "rows"))
    trainer.validate(QuestionModule(str(world / "model")), data, verbose=False)
    (record,) = json.loads((folder / "results.json").read_text())["evaluations"]
    found: dict[str, Any] = record["answers"]
    return found


@pytest.fixture(scope="module")
def found(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("requested") / "run"
    judge = str(world / "model")
    return validate(world, folder, max_new_tokens=3, bootstrap=200, gradient_norm=True, judge=judge)


def test_the_gradient_is_one_more_membership_score(found: dict[str, Any]) -> None:
    outcomes, measured = found["outcomes"], found["measured"]
    assert {name for name, one in outcomes.items() if "gradient_norm" in one} == {"forget", "unseen"}
    assert all(value < 0 for value in outcomes["forget"]["gradient_norm"])
    unseen, trained = (outcomes[name]["gradient_norm"] for name in ("unseen", "forget"))
    higher = [float(one > other) for one in unseen for other in trained]
    assert measured["answers"]["membership_auc_gradient_norm"] == pytest.approx(sum(higher) / len(higher))


def test_a_judge_says_how_likely_what_is_written_is(found: dict[str, Any]) -> None:
    for name, one in found["outcomes"].items():
        assert all(1 <= value <= 1e6 for value in one["perplexity"])
        assert found["measured"][f"answers/{name}"]["perplexity"] >= 1
        assert {*one["gibberish"]} <= {0.0, 1.0}


def test_a_classifier_says_what_is_gibberish(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (written_answers, answer_evaluation):
        monkeypatch.setattr(place, "clean_label", lambda path, option: 1)
    monkeypatch.setattr(written_answers, "load_classifier", lambda path, option: nn.Identity())
    monkeypatch.setattr(
        written_answers, "clean_probabilities", lambda model, words, texts, label: [0.4, 0.6] * (len(texts) // 2)
    )
    found = validate(world, tmp_path / "run", max_new_tokens=3, classifier=str(world / "model"))
    row = found["outcomes"]["forget"]
    assert {*row["clean"]} == {0.4, 0.6}
    assert row["gibberish"] == [float(share < 0.5) for share in row["clean"]]
    assert found["measured"]["answers/forget"]["clean"] == pytest.approx(sum(row["clean"]) / len(row["clean"]))


def test_intervals_hold_the_numbers(found: dict[str, Any]) -> None:
    for name in ("answers", "answers/forget"):
        row = found["measured"][name]
        with_ends = [key for key in row if f"{key}_low" in row]
        assert with_ends
        assert all(row[f"{key}_low"] <= row[key] <= row[f"{key}_high"] for key in with_ends)


def test_a_text_counts_up_to_what_ends_it() -> None:
    of = PlannedSet("forget", [], "", stop=("\n\n", "\nQuestion", "Question:"))
    assert stopped("Ada.\nQuestion: who?\n\nBo", of) == "Ada."
    assert stopped("Ada", of) == "Ada"


def test_a_question_that_would_lose_its_beginning_is_refused(world: Path, tmp_path: Path) -> None:
    told = r"data.answers.forget: row \d has \d+ tokens, 9999999 are written after it, the model has"
    with pytest.raises(InputError, match=told):
        validate(world, tmp_path / "run", max_new_tokens=9_999_999)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bootstrap": 10}, "bootstrap: must be at least 100, or 0 for no intervals, got 10"),
        ({"judge": "demo", "max_new_tokens": 0}, "judge: nothing is written that it could read"),
        ({"classifier": "demo", "max_new_tokens": 0}, "classifier: nothing is written that it could read"),
        ({"retrained_auc": 0.0}, "retrained_auc: 0.0 with reference None"),
        ({"retrained_auc": 0.5, "reference": "a"}, "retrained_auc: 0.5 with reference a"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        AnswerEvaluation(**options)


def test_the_gradient_of_a_sharded_model_is_refused(world: Path, tmp_path: Path) -> None:
    class Sharded:
        strategy = ModelParallelStrategy()

    callback, data = AnswerEvaluation(gradient_norm=True), demo_data(world, answers=sources(tmp_path))
    with pytest.raises(InputError, match="no process holds the whole model under this strategy; set it to false"):
        callback.check_options(Sharded(), QuestionModule(str(world / "model")), data)  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "value"), [("gradient_norm", True), ("retrained_auc", 0.5)])
def test_what_compares_with_unseen_rows_needs_some(option: str, value: Any, world: Path, tmp_path: Path) -> None:
    seen = {name: one for name, one in sources(tmp_path / "rows").items() if one.role != "holdout"}
    callback, data = AnswerEvaluation(**{option: value}), demo_data(world, answers=seen)
    told = f"{option}: it compares forget and holdout sets, data.answers has roles forget, general, retain"
    with pytest.raises(InputError, match=told):
        callback.check_options(quiet_trainer(tmp_path), QuestionModule(str(world / "model")), data)
