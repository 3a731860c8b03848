from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch.utils.data import DataLoader, TensorDataset

from lit_unlearn import PerturbationRobustness
from lit_unlearn.callbacks import progress
from lit_unlearn.callbacks.progress import RunProgress
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from tests.questions.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer

SHOWN: dict[str, Any] = {"enable_progress_bar": True, "check_val_every_n_epoch": None}


def fit(world: Path, folder: Path, *, ckpt_path: Path | None = None, **options: Any) -> L.Trainer:
    """Four steps with an evaluation before, halfway and after."""
    questions = write_questions(folder / "questions.jsonl")
    evaluation = EvaluationSource({"retain": questions}, {"two": PerturbationSource(n=2)})
    data = demo_data(world, evaluation=evaluation, holdout=8, batch_size=4)
    given: dict[str, Any] = {"max_steps": 4, "val_check_interval": 2, **SHOWN}
    given["callbacks"] = [RunProgress(), PerturbationRobustness()]
    trainer = quiet_trainer(folder, **given | options)
    trainer.fit(demo_module(world), data, ckpt_path=ckpt_path)
    return trainer


def lines_of(text: str) -> list[str]:
    return [line.partition(" [")[0] for line in text.splitlines() if " [" in line and "/" in line]


def test_a_file_gets_a_line_for_each_event(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(world, tmp_path)
    out = capsys.readouterr().out
    found = lines_of(out)
    rows = int(found[0].partition("/")[2].split()[0])
    named = ["Evaluation before training", "Evaluation after 2 steps", "Evaluation after 4 steps"]
    assert [line for line in found if line.startswith("Evaluation")] == [
        f"{name}: {done}/{rows} rows" for name in named for done in (0, rows)
    ]
    assert rows == 8 * 2 + 3 * 6  # pairs of two topics; questions as they are, perturbed and under the control
    assert [line for line in found if line.startswith("Training")] == ["Training: 0/4 steps", "Training: 4/4 steps"]
    assert not {*out} & {"\r", "\x1b"}
    assert "Epoch" not in out


def test_a_line_comes_after_some_seconds(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(world, tmp_path, callbacks=[RunProgress(seconds=0)], limit_val_batches=0)
    found = lines_of(capsys.readouterr().out)
    assert found == [*(f"Training: {step}/4 steps" for step in range(5)), "Training: 4/4 steps"]


def test_of_some_batches_and_of_other_data_batches_are_counted(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(world, tmp_path, limit_val_batches=1)
    assert "Evaluation after 2 steps: 2/2 batches" in lines_of(capsys.readouterr().out)

    class Other(L.LightningModule):
        def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    quiet_trainer(tmp_path, callbacks=[RunProgress()], enable_progress_bar=True).validate(
        Other(), DataLoader(TensorDataset(torch.zeros(6, 1)), batch_size=2)
    )
    assert lines_of(capsys.readouterr().out) == ["Evaluation: 0/3 batches", "Evaluation: 3/3 batches"]


def test_a_resumed_run_begins_where_it_was(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet: dict[str, Any] = {"callbacks": [RunProgress()], "val_check_interval": 2, "num_sanity_val_steps": 0}
    fit(world, tmp_path, max_steps=2, **quiet).save_checkpoint(tmp_path / "last.ckpt")
    capsys.readouterr()
    fit(world, tmp_path, max_steps=3, **quiet, ckpt_path=tmp_path / "last.ckpt")
    trained = [line for line in lines_of(capsys.readouterr().out) if line.startswith("Training")]
    assert trained == ["Training: 2/3 steps", "Training: 3/3 steps"]


def test_a_terminal_gets_bars_and_training_s_clock_stands_still_meanwhile(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unpaused: list[str] = []
    monkeypatch.setattr(progress, "watched", lambda stream: True)
    monkeypatch.setattr(Tqdm, "unpause", lambda bar: unpaused.append("" if bar.disable else bar.desc))
    fit(world, tmp_path)
    shown = capsys.readouterr().out
    assert "\rEvaluation before training:" in shown
    assert "\rTraining:" in shown
    assert [name for name in unpaused if name] == ["Training", "Training"]


class Slow(L.Callback):
    """A clock by which a step takes 10 seconds, and each batch of an evaluation 100."""

    now = 1000.0

    def on_train_batch_start(self, *args: Any) -> None:
        self.now += 10

    def on_validation_batch_end(self, *args: Any, **options: Any) -> None:
        self.now += 100


def test_a_file_gets_the_time_of_all_steps_and_of_no_evaluation(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Slow()
    monkeypatch.setattr("tqdm.std.time", lambda: slow.now)
    monkeypatch.setattr(progress, "time", lambda: slow.now)
    fit(world, tmp_path, callbacks=[slow, RunProgress(), PerturbationRobustness()])
    assert "Training: 4/4 steps [00:40<00:00" in capsys.readouterr().out


def test_nothing_is_shown_by_other_processes(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = RunProgress()
    hidden.disable()
    fit(world, tmp_path, callbacks=[hidden])
    assert lines_of(capsys.readouterr().out) == []
