import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lit_unlearn import InputError, PerturbationRobustness
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from lit_unlearn.running import shared_attention
from tests.questions.test_sets import write_questions
from tests.training import Losses, demo_data, demo_module, quiet_trainer

EVERY: dict[str, Any] = {"val_check_interval": 2, "check_val_every_n_epoch": None}


def evaluation(tmp_path: Path) -> EvaluationSource:
    questions = {name: write_questions(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}
    return EvaluationSource(questions, {"1 token": PerturbationSource(n=1, sets=["retain"])}, max_tokens=64)


def fit(world: Path, tmp_path: Path, *callbacks: L.Callback, **options: Any) -> tuple[L.Trainer, dict[str, Any]]:
    trainer = quiet_trainer(
        tmp_path / "run", max_steps=4, callbacks=[PerturbationRobustness(), *callbacks], **EVERY, **options
    )
    trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)))
    return trainer, json.loads((tmp_path / "run" / "results.json").read_text())


def test_it_evaluates_before_during_and_after_training(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, results = fit(world, tmp_path)
    assert [record["step"] for record in results["evaluations"]] == [0, 2, 4]
    assert list(results["evaluations"][0]["measured"]) == [
        "forget",
        "retain",
        "retain/1 token",
        "retain/1 token/control",
    ]
    assert results["evaluations"][2]["outcomes"]["retain"]["number"] == list(range(6))
    assert results["hyperparameters"]["noise_scale"] == 0.03
    assert results["versions"]["lightning"] == L.__version__
    assert capsys.readouterr().out.count("retain/1 token/control") == 3
    logged = trainer.callback_metrics
    assert {"val/retain/accuracy", "val/retain/1 token/accuracy_drop", "val/selectivity"} <= logged.keys()
    assert logged["val/retain/accuracy"] == results["evaluations"][2]["measured"]["retain"]["accuracy"]


def test_of_some_batches_only_questions_in_all_variants_count(world: Path, tmp_path: Path) -> None:
    asked = replace(evaluation(tmp_path), max_tokens=100)
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()], limit_val_batches=1)
    trainer.validate(demo_module(world), demo_data(world, evaluation=asked), verbose=False)
    (record,) = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    numbers = [record["outcomes"][name]["number"] for name in ("retain", "retain/1 token", "retain/1 token/control")]
    assert numbers[0] == numbers[1] == numbers[2]
    assert 0 < len(numbers[0]) < 6


def test_evaluating_changes_no_loss(world: Path, tmp_path: Path) -> None:
    alone, evaluated = Losses(), Losses()
    quiet_trainer(tmp_path, max_steps=4, callbacks=[alone]).fit(demo_module(world), demo_data(world))
    fit(world, tmp_path, evaluated)
    assert evaluated.values == alone.values


def test_checkpoints_and_early_stopping_can_monitor_the_composite(world: Path, tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="val/selectivity", mode="max")
    trainer, _ = fit(
        world, tmp_path, best, EarlyStopping("val/selectivity", mode="max", patience=9), enable_checkpointing=True
    )
    assert best.best_model_score == pytest.approx(float(trainer.callback_metrics["val/selectivity"]), abs=1.0)
    assert Path(best.best_model_path).is_file()


def test_a_resumed_run_keeps_the_earlier_evaluations(world: Path, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    _, whole = fit(world, tmp_path, keep, enable_checkpointing=True)
    trainer = quiet_trainer(tmp_path / "resumed", max_steps=4, callbacks=[PerturbationRobustness()], **EVERY)
    data = demo_data(world, evaluation=evaluation(tmp_path))
    trainer.fit(demo_module(world), data, ckpt_path=str(tmp_path / "step=2.ckpt"))
    resumed = json.loads((tmp_path / "resumed" / "results.json").read_text())
    assert resumed["evaluations"][-1] == whole["evaluations"][-1]
    assert resumed["evaluations"][0] == whole["evaluations"][0]


def test_validate_evaluates_without_training(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()])
    (*_, logged) = trainer.validate(
        demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)), verbose=False
    )
    assert "val/retain/1 token/flip_rate" in logged
    assert len(json.loads((tmp_path / "results.json").read_text())["evaluations"]) == 1


def test_a_cloze_set_is_evaluated_beside_one_of_letters(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = evaluation(tmp_path)
    questions = {**asked.questions, "retain": replace(asked.questions["retain"], format="cloze")}
    perturbations = {"stem": PerturbationSource(n=1, position="stem", sets=["retain"])}
    asked = replace(asked, questions=questions, perturbations=perturbations)
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()])
    (*_, logged) = trainer.validate(demo_module(world), demo_data(world, evaluation=asked), verbose=False)
    (record,) = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    for variant in ("retain", "retain/stem", "retain/stem/control"):
        own, measured = record["outcomes"][variant], record["measured"][variant]
        assert own.keys() == {"correct", "prediction", "number", "correct_norm", "prediction_norm", "text_logprob"}
        assert own["number"] == list(range(6))
        assert measured["accuracy"] == sum(own["correct"]) / 6
        assert measured["accuracy_norm"] == sum(own["correct_norm"]) / 6
        assert measured["accuracy_norm_error"] is not None
        assert logged[f"val/{variant}/accuracy_norm"] == pytest.approx(measured["accuracy_norm"])
    assert "letter_logprob" in record["outcomes"]["forget"]
    assert "correct_norm" not in record["outcomes"]["forget"]
    # Of the, of, and, in the first and the third are the longest; the answers are A, B, C, D, A, B.
    expected = {"longest_option": (3 / 2) / 6, "best_letter": "A", "best_letter_accuracy": 2 / 6}
    for name in ("forget", "retain"):
        assert {key: record["baselines"][name][key] for key in expected} == pytest.approx(expected)
    printed = capsys.readouterr().out
    assert "retain: longest option" in printed
    assert "forget: always A" in printed
    assert "per character" in printed


class Guesser(L.LightningModule):
    """A user's own module, which always answers A."""

    def __init__(self, pretrained: str) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, torch.Tensor]:
        prediction = torch.zeros_like(batch["answer"])
        return {"correct": prediction == batch["answer"], "prediction": prediction, "number": batch["number"]}


def test_it_works_with_a_module_of_the_users_own(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()])
    trainer.validate(Guesser(str(world / "model")), demo_data(world, evaluation=evaluation(tmp_path)), verbose=False)
    (record,) = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    assert record["measured"]["retain"]["accuracy"] == pytest.approx(2 / 6)
    assert record["measured"]["retain/1 token"]["flip_rate"] == 0.0


def test_without_questions_it_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no questions; set data.evaluation.questions"):
        quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()]).fit(demo_module(world), demo_data(world))


def test_a_run_that_would_end_without_an_evaluation_is_refused(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=3, callbacks=[PerturbationRobustness()], **EVERY)
    with pytest.raises(
        InputError, match=r"val_check_interval: 2 would end 3 steps without an evaluation; set it to a divisor"
    ):
        trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)))


def test_a_model_of_another_family_answers_the_same_from_padded_rows(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for families in (shared_attention._FAMILIES, ()):
        monkeypatch.setattr(shared_attention, "_FAMILIES", families)
        folder = tmp_path / ("packed" if families else "padded")
        trainer = quiet_trainer(folder, callbacks=[PerturbationRobustness()])
        data = demo_data(world, evaluation=evaluation(tmp_path))
        trainer.validate(demo_module(world), data, verbose=False)
        batches = [batch for loader in data.val_dataloader() for batch in loader]
        assert {"packed" in batch for batch in batches} == {bool(families)}
        outcomes.append(json.loads((folder / "results.json").read_text())["evaluations"][-1]["outcomes"])
    packed, padded = outcomes
    assert packed.keys() == padded.keys() == {"forget", "retain", "retain/1 token", "retain/1 token/control"}
    for name, found in packed.items():
        assert found["prediction"] == padded[name]["prediction"]
        assert found["letter_logprob"] == pytest.approx(padded[name]["letter_logprob"], abs=1e-4)
        assert found.get("text_logprob") == pytest.approx(padded[name].get("text_logprob"), abs=1e-4)
