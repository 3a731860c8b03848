"""The harness in a real Trainer: what it reports, and that training does not notice it."""

import csv
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lit_unlearn import InputError, LMEvalHarness
from tests.harness.test_tasks import write_mmlu
from tests.test_distributed import FSDP1, STRATEGIES
from tests.test_distributed import fit as fit_by_command
from tests.training import Losses, demo_data, demo_module, quiet_trainer

EVERY: dict[str, Any] = {"val_check_interval": 2, "check_val_every_n_epoch": None}
NAMES = ["mmlu_local", "mmlu_perturbed_virology"]


@pytest.fixture(autouse=True)
def _no_description_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs programs, which takes a second each time."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


def asking(tmp_path: Path, **options: Any) -> LMEvalHarness:
    metadata = {"questions": str(write_mmlu(tmp_path / "mmlu"))}
    return LMEvalHarness(NAMES, **{"metadata": metadata, "at": ["start", "validation", "end"], **options})


def written(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "lm_eval.json").read_text())
    return results


def test_it_asks_before_during_and_after_training(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = CSVLogger(tmp_path / "log")
    trainer = quiet_trainer(
        tmp_path, max_steps=5, callbacks=[asking(tmp_path, log_samples=True)], logger=logger, **EVERY
    )
    trainer.fit(demo_module(world), demo_data(world, holdout=4))
    results = written(tmp_path)
    assert results["step"] == 5
    assert [record["step"] for record in results["earlier"]] == [0, 2, 4]
    assert len(results["samples"]["mmlu_local"]) == 24
    assert trainer.callback_metrics["val/mmlu_local/acc"] == pytest.approx(results["results"]["mmlu_local"]["acc,none"])
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/mmlu_perturbed_virology/acc"]]
    assert len(rows) == 4
    assert float(rows[0]["val/mmlu_local/acc"]) == pytest.approx(results["earlier"][0]["scores"]["mmlu_local/acc"])
    assert capsys.readouterr().out.count("|mmlu_perturbed_virology|") == 4


def test_training_does_not_notice_it(world: Path, tmp_path: Path) -> None:
    runs = []
    for callbacks in ([], [asking(tmp_path)]):
        torch.manual_seed(3)
        losses, module = Losses(), demo_module(world, whole_model=True)
        trainer = quiet_trainer(tmp_path / "run", max_steps=4, callbacks=[*callbacks, losses], **EVERY)
        trainer.fit(module, demo_data(world, holdout=4))
        weights = {name: value.clone() for name, value in module.updated.state_dict().items()}
        runs.append((losses.values, weights, torch.rand(3).tolist()))
    alone, asked = runs
    assert asked[0] == alone[0]
    assert asked[1].keys() == alone[1].keys()
    assert all(torch.equal(value, alone[1][name]) for name, value in asked[1].items())
    assert asked[2] == alone[2]


def test_by_default_it_asks_once_after_training(world: Path, tmp_path: Path) -> None:
    callback = LMEvalHarness(["mmlu_local"], metadata={"questions": str(write_mmlu(tmp_path / "mmlu"))})
    quiet_trainer(tmp_path, callbacks=[callback], max_steps=2).fit(demo_module(world), demo_data(world))
    assert [record["step"] for record in callback.evaluations] == [2]
    assert written(tmp_path)["earlier"] == []
    assert "samples" not in written(tmp_path)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_without_training_it_asks_the_model_as_it_is(stage: str, world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[asking(tmp_path, at=["end"])])
    (logged,) = getattr(trainer, stage)(demo_module(world), demo_data(world, holdout=4), verbose=False)
    prefix = "test" if stage == "test" else "val"
    assert logged[f"{prefix}/mmlu_local/acc"] == pytest.approx(written(tmp_path)["results"]["mmlu_local"]["acc,none"])


def test_mixed_precision_is_the_trainers(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[asking(tmp_path, at=["end"])], max_steps=1, precision="bf16-mixed")
    trainer.fit(demo_module(world), demo_data(world))
    assert 0 <= trainer.callback_metrics["val/mmlu_local/acc"] <= 1


def test_fast_dev_run_asks_one_question_of_each_task(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[asking(tmp_path)], fast_dev_run=True)
    trainer.fit(demo_module(world), demo_data(world))
    assert {count["effective"] for count in written(tmp_path)["n-samples"].values()} == {1}


def test_a_resumed_run_keeps_the_earlier_scores(world: Path, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    first = quiet_trainer(
        tmp_path / "first", callbacks=[asking(tmp_path, at=["start"]), keep], max_steps=2, enable_checkpointing=True
    )
    first.fit(demo_module(world), demo_data(world))
    second = quiet_trainer(tmp_path / "second", callbacks=[asking(tmp_path, at=["start", "end"])], max_steps=4)
    second.fit(demo_module(world), demo_data(world), ckpt_path=str(tmp_path / "step=2.ckpt"))
    results = written(tmp_path / "second")
    assert (results["step"], [record["step"] for record in results["earlier"]]) == (4, [0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"tasks": "mmlu"}, r"LMEvalHarness.tasks: 'mmlu' names no tasks; give a list"),
        ({"tasks": []}, r"LMEvalHarness.tasks: \[\] names no tasks"),
        ({"at": ["sometimes"]}, r"LMEvalHarness.at: must be some of start, validation, end, got \['sometimes'\]"),
        ({"at": []}, r"LMEvalHarness.at: must be some of .*, got \[\]"),
        ({"batch_size": 0}, r"LMEvalHarness.batch_size: must be above 0, got 0"),
        ({"limit": 0}, r"LMEvalHarness.limit: must be above 0, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        LMEvalHarness(**{"tasks": NAMES, **options})


def test_questions_that_cannot_be_had_are_found_before_training(world: Path, tmp_path: Path) -> None:
    losses = Losses()
    trainer = quiet_trainer(tmp_path, callbacks=[LMEvalHarness(["mmlu_local"]), losses])
    with pytest.raises(InputError, match=r"metadata.questions: none given"):
        trainer.fit(demo_module(world), demo_data(world))
    assert losses.values == []


def test_a_module_without_a_model_is_refused(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path)
    with pytest.raises(InputError, match=r"LightningModule names no `pretrained` model; remove the callback"):
        asking(tmp_path).setup(trainer, L.LightningModule(), "fit")
    with pytest.raises(InputError, match=r"LightningModule holds no `updated` model of transformers"):
        asking(tmp_path).on_train_end(trainer, L.LightningModule())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES | FSDP1)
def test_two_processes_find_what_one_does(world: Path, tmp_path: Path, strategy: str) -> None:
    options = {
        "tasks": NAMES,
        "metadata": {"questions": str(write_mmlu(tmp_path / "mmlu"))},
        "at": ["start", "validation", "end"],
        "batch_size": 5,
        "log_samples": True,
    }
    callback = f"--trainer.callbacks+={json.dumps({'class_path': 'LMEvalHarness', 'init_args': options})}"
    fit_by_command(world, tmp_path / "one", callback)
    fit_by_command(world, tmp_path / "two", callback, *(STRATEGIES | FSDP1)[strategy], processes=2)
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert one["results"] == two["results"]
    assert one["earlier"] == two["earlier"]
    for task in NAMES:
        first, second = (
            sorted(results["samples"][task], key=lambda sample: sample["doc_id"]) for results in (one, two)
        )
        assert [sample["doc"] for sample in first] == [sample["doc"] for sample in second]
        scores = [[float(score) for row in part for score, _ in row["filtered_resps"]] for part in (first, second)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
