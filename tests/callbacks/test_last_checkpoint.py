"""When the last checkpoint is written, and of which weights."""

import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_unlearn import InputError
from lit_unlearn.callbacks import Interpolation, LastCheckpoint, PerturbationRobustness
from lit_unlearn.questions.sets import EvaluationSource
from tests.interrupting import Interrupt
from tests.questions.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("INTERRUPT", "1")
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class Weights(LastCheckpoint):
    """Keeps what would be saved."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[float] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self.module: Any = pl_module

    def _save(self, trainer: L.Trainer) -> None:
        super()._save(trainer)
        self.saved.append(trained(self.module))


def trained(module: Any) -> float:
    return sum(float(value.double().sum()) for value in module.trained_parameters().values())


def fit(world: Path, folder: Path, *callbacks: L.Callback, **options: Any) -> Any:
    questions = EvaluationSource({"retain": write_questions(world / "retain.questions.jsonl")}, {}, max_tokens=64)
    ends: dict[str, Any] = {"max_steps": -1, "max_epochs": 1, "enable_checkpointing": True}
    run = quiet_trainer(folder, callbacks=[*callbacks], **ends | options)
    module = demo_module(world, seed=0)
    run.fit(module, demo_data(world, seed=0, limit=8, evaluation=questions))
    return module


@pytest.mark.parametrize("steps", [0, -1])
def test_it_is_written_every_step_at_most(steps: int) -> None:
    with pytest.raises(InputError, match=rf"LastCheckpoint.every_n_steps: must be at least 1, got {steps}"):
        LastCheckpoint(steps)


def test_the_last_batch_of_the_last_epoch_is_the_end(world: Path, tmp_path: Path) -> None:
    last, steps = Weights(), 4
    with pytest.raises(SIGTERMException):
        fit(world, tmp_path, Interrupt(steps, "SIGTERM"), last)
    assert last.saved == []  # that step, and what is to come, is done again


def test_interpolated_weights_are_never_saved(world: Path, tmp_path: Path) -> None:
    last = Weights()
    callbacks = [PerturbationRobustness(), Interrupt(4, "SIGTERM", at="train_end"), Interpolation([0.5]), last]
    module = fit(world, tmp_path, *callbacks, limit_val_batches=1)
    assert last.saved == [trained(module)]


def test_a_signal_in_the_evaluation_before_training_waits_for_the_first_step(world: Path, tmp_path: Path) -> None:
    last = Weights()
    with pytest.raises(SIGTERMException):
        fit(world, tmp_path, Interrupt(0, "SIGTERM", at="validation_batch_start"), last, num_sanity_val_steps=1)
    assert len(last.saved) == 1
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 1
