import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import DoublePrecision
from lightning.pytorch.strategies import ModelParallelStrategy

from lit_unlearn import AnswerEvaluation, InputError, Interpolation, LikelihoodRobustness, QuestionModule
from tests.answers.asked import TEMPLATE, rows, sources, write
from tests.callbacks.test_robustness import EVERY
from tests.processes import free_port, run_in_several
from tests.test_world_size import join
from tests.training import Losses, demo_data, demo_module, quiet_trainer

SETS = ("forget", "retain", "authors", "unseen")


def results(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["evaluations"]
    return found


def evaluating(**options: Any) -> AnswerEvaluation:
    given: dict[str, Any] = {"max_new_tokens": 3}
    return AnswerEvaluation(**given | options)


def fit(world: Path, folder: Path, *callbacks: L.Callback, **data: Any) -> L.Trainer:
    trainer = quiet_trainer(folder, max_steps=2, callbacks=[*callbacks], **EVERY)
    trainer.fit(demo_module(world), demo_data(world, answers=sources(folder / "rows"), **data))
    return trainer


def validate(world: Path, folder: Path, callback: AnswerEvaluation, **place: Any) -> None:
    trainer = quiet_trainer(folder, callbacks=[callback], plugins=[DoublePrecision()], **place)
    data = demo_data(world, answers=sources(folder.parent / "rows"))
    trainer.validate(QuestionModule(str(world / "model")), data, verbose=False)


def test_it_evaluates_before_and_after_training_and_in_between(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = fit(world, tmp_path, evaluating(), Interpolation([0.5]))
    before, after, half = results(tmp_path)
    assert [(one["step"], one.get("interpolation")) for one in (before, after, half)] == [
        (0, None),
        (2, None),
        (2, 0.5),
    ]
    for record in (before, after, half):
        found, measured = record["answers"]["outcomes"], record["answers"]["measured"]
        assert [*found] == [*SETS]
        assert [*measured] == ["answers", *(f"answers/{name}" for name in SETS)]
        assert {"model_utility", "membership_auc"} <= measured["answers"].keys()
        for one in found.values():
            assert one["row"] == [*range(6)]
            assert {len(values) for values in one.values() if isinstance(values, list)} == {6}
    probabilities = [one["answers"]["outcomes"]["forget"]["probability"] for one in (before, half, after)]
    assert probabilities[0] != probabilities[1] != probabilities[2]
    logged = trainer.callback_metrics
    assert {"val/answers/forget/truth_ratio", "val/answers/model_utility", "val/answers/unseen/min_k"} <= logged.keys()
    assert not any(name.endswith("_error") for name in logged)
    assert capsys.readouterr().out.count("model utility") == 3


def test_checkpoints_and_early_stopping_can_monitor_it(world: Path, tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path, monitor="val/answers/forget/probability", filename="best")
    stopping = EarlyStopping("val/answers/model_utility", mode="max", stopping_threshold=-1.0)
    callbacks = [evaluating(), best, stopping]
    trainer = quiet_trainer(tmp_path, max_steps=4, callbacks=callbacks, enable_checkpointing=True, **EVERY)
    trainer.fit(demo_module(world), demo_data(world, answers=sources(tmp_path / "rows")))
    assert trainer.global_step == 2
    assert best.best_model_score is not None
    assert (tmp_path / "best.ckpt").is_file()


def test_it_changes_no_loss(world: Path, tmp_path: Path) -> None:
    alone, evaluated = Losses(), Losses()
    quiet_trainer(tmp_path, max_steps=2, callbacks=[alone], **EVERY).fit(demo_module(world), demo_data(world))
    fit(world, tmp_path / "run", evaluating(), evaluated)
    assert evaluated.values == alone.values


def test_beside_other_evaluations_there_is_one_record(world: Path, tmp_path: Path) -> None:
    fit(world, tmp_path, LikelihoodRobustness(rows=6, spans=[4]), evaluating(max_new_tokens=0), holdout=16)
    for record in results(tmp_path):
        assert {"insert", "answers", "held_out"} <= record.keys()
        assert "rouge_recall" not in record["answers"]["measured"]["answers/forget"]
        assert "model_utility" not in record["answers"]["measured"]["answers"]


def test_a_resumed_run_keeps_what_was_before_training(world: Path, tmp_path: Path) -> None:
    asked = sources(tmp_path / "rows")
    first = quiet_trainer(tmp_path / "first", max_steps=2, callbacks=[evaluating()], **EVERY)
    first.fit(demo_module(world), demo_data(world, answers=asked))
    first.save_checkpoint(tmp_path / "first.ckpt")
    again = quiet_trainer(tmp_path / "again", max_steps=4, callbacks=[evaluating()], **EVERY)
    again.fit(demo_module(world), demo_data(world, answers=asked), ckpt_path=str(tmp_path / "first.ckpt"))
    assert [record["step"] for record in results(tmp_path / "again")] == [0, 2, 4]


def test_with_a_reference_there_is_forget_quality(world: Path, tmp_path: Path) -> None:
    validate(world, tmp_path / "reference", evaluating())
    validate(world, tmp_path / "same", evaluating(reference=str(tmp_path / "reference")))
    (record,) = results(tmp_path / "same")
    measured = record["answers"]["measured"]["answers"]
    assert (measured["forget_quality"], measured["privacy_leakage"]) == (1.0, 0.0)


def test_a_reference_with_other_rows_is_refused_before_anything_runs(world: Path, tmp_path: Path) -> None:
    validate(world, tmp_path / "reference", evaluating())
    write(tmp_path / "rows" / "retain.jsonl", rows("gardening", seed=5))
    other = demo_data(world, answers={name: one for name, one in sources(tmp_path / "new").items()})
    write(tmp_path / "new" / "retain.jsonl", rows("gardening", seed=5))
    trainer = quiet_trainer(tmp_path / "run", callbacks=[evaluating(reference=str(tmp_path / "reference"))], **EVERY)
    with pytest.raises(InputError, match=r"was not asked the rows of 'retain' in data.answers; evaluate"):
        trainer.fit(demo_module(world), other)
    assert not (tmp_path / "run" / "results.json").exists()


def test_of_some_batches_it_counts_complete_rows(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[evaluating()], fast_dev_run=True)
    trainer.fit(demo_module(world), demo_data(world, answers=sources(tmp_path / "rows")))


def test_what_cannot_be_evaluated_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.answers names no questions; set it, or remove the callback"):
        quiet_trainer(tmp_path, callbacks=[evaluating()]).fit(demo_module(world), demo_data(world))
    with pytest.raises(InputError, match="LightningDataModule has no answers; use an UnlearnDataModule"):
        quiet_trainer(tmp_path, callbacks=[evaluating()]).fit(demo_module(world), L.LightningDataModule())
    with pytest.raises(InputError, match="max_new_tokens: must be at least 0, got -1"):
        AnswerEvaluation(max_new_tokens=-1)


def test_answers_that_nothing_evaluates_are_refused(world: Path, tmp_path: Path) -> None:
    data = demo_data(world, answers=sources(tmp_path / "rows", chat_template=TEMPLATE))
    with pytest.raises(InputError, match=r"data.answers: nothing evaluates them; add AnswerEvaluation"):
        quiet_trainer(tmp_path).validate(QuestionModule(str(world / "model")), data, verbose=False)


def one_of_two(rank: int, port: str, world: Path, folder: Path) -> None:
    join(rank, 2, port)
    validate(world, folder / "ddp", evaluating(), devices=2, strategy="ddp")
    fsdp2 = ModelParallelStrategy(2, tensor_parallel_size=1, save_distributed_checkpoint=False)
    validate(world, folder / "fsdp2", evaluating(), devices=2, strategy=fsdp2)


@pytest.mark.slow
def test_two_processes_answer_as_one(world: Path, tmp_path: Path) -> None:
    validate(world, tmp_path / "one", evaluating())
    run_in_several(one_of_two, (free_port(), world, tmp_path), 2)
    (expected,) = results(tmp_path / "one")
    assert results(tmp_path / "ddp") == results(tmp_path / "fsdp2") == [expected]
