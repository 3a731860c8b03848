import json
from pathlib import Path

from lit_unlearn import AnswerEvaluation, Interpolation, LikelihoodRobustness, PerturbationRobustness
from lit_unlearn.callbacks.card_results import evaluation_table, training_table
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from tests.answers.asked import sources
from tests.questions.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer


def test_base_and_unlearned_model_stand_beside_each_other(world: Path, tmp_path: Path) -> None:
    evaluation = EvaluationSource({"retain": write_questions(tmp_path / "q.jsonl")}, {"two": PerturbationSource(n=2)})
    counted = [PerturbationRobustness(), LikelihoodRobustness(rows=4, spans=["word"]), Interpolation([0.5])]
    trainer = quiet_trainer(
        tmp_path, callbacks=counted, max_steps=2, val_check_interval=2, check_val_every_n_epoch=None
    )
    trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation, holdout=16))
    before, after, _ = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    rows = [line.strip("| ").split(" | ") for line in evaluation_table(trainer).splitlines()]
    assert rows[0][-2:] == ["base", "unlearned"]
    found = {(name, measure): values for name, measure, *values in rows[2:]}
    for variant, title in {
        "retain": "retain",
        "retain/two": "retain, perturbed (two)",
        "retain/two/control": "retain, control (two)",
    }.items():
        accuracies = [f"{100 * one['measured'][variant]['accuracy']:.1f}" for one in (before, after)]
        assert found[title, "accuracy, %"] == accuracies
        assert (title, "log p of the right letter, nats") in found
    excess = [f"{one['insert']['measured']['insert/word/trained']['excess']:.3f}" for one in (before, after)]
    assert found["word of trained forget rows", "excess NLL after the insertion, nats per token"] == excess
    assert "| forget loss | " in training_table(trainer)


def test_free_answers_have_rows_of_their_own(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(
        tmp_path,
        callbacks=[AnswerEvaluation(max_new_tokens=2)],
        max_steps=2,
        val_check_interval=2,
        check_val_every_n_epoch=None,
    )
    trainer.fit(demo_module(world), demo_data(world, answers=sources(tmp_path / "rows")))
    before, after = (
        one["answers"]["measured"] for one in json.loads((tmp_path / "results.json").read_text())["evaluations"]
    )
    lines = evaluation_table(trainer).splitlines()
    ratios = " | ".join(f"{one['answers/forget']['truth_ratio']:.3f}" for one in (before, after))
    assert f"| free answers: forget | truth ratio | {ratios} |" in lines
    assert any(line.startswith("| free answers | model utility | ") for line in lines)


def test_without_an_evaluation_there_is_no_table(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(demo_module(world), demo_data(world))
    assert evaluation_table(trainer) == ""
    trainer.callback_metrics.clear()
    assert training_table(trainer) == ""


def test_without_the_base_its_column_is_empty(world: Path, tmp_path: Path) -> None:
    counted = PerturbationRobustness()
    evaluation = EvaluationSource({"retain": write_questions(tmp_path / "q.jsonl")})
    trainer = quiet_trainer(
        tmp_path, callbacks=[counted], max_steps=2, val_check_interval=2, check_val_every_n_epoch=None
    )
    trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation))
    counted.evaluations.pop(0)
    assert "| retain | accuracy, % | – | " in evaluation_table(trainer)
