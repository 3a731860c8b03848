"""A weight of the retain loss that follows a limit."""

import json
import os
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import NLL, PDU, InputError, NoLoss, PerTopic, QuestionModule, RetainConstraint
from tests.processes import free_port, run_in_several, torchrun_variables
from tests.training import demo_data, demo_module, quiet_trainer

WEIGHT = 5.0


class Seen(L.Callback):
    """Each batch's losses, and the weight after it."""

    def __init__(self, constraint: RetainConstraint) -> None:
        self.constraint = constraint
        self.forget: list[float] = []
        self.retain: list[float] = []
        self.loss: list[float] = []
        self.weights: list[float] = []
        self.logged: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *args: Any) -> None:
        self.forget.append(outputs["forget_losses"].mean().item())
        self.retain.append(outputs["retain_losses"].mean().item())
        self.loss.append(outputs["loss"].item())
        self.weights.append(self.constraint.weight)
        self.logged.append(float(trainer.callback_metrics.get("train/retain_weight", -1.0)))


def fitted(
    world: Path, folder: Path, constraint: RetainConstraint, *, resume: Path | None = None, **options: Any
) -> tuple[Seen, Any]:
    seen = Seen(constraint)
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=3, save_top_k=-1)
    trainer = quiet_trainer(
        folder, callbacks=[constraint, seen, keep], enable_checkpointing=True, **{"max_steps": 6} | options
    )
    module = demo_module(world, forget=PDU(), retain=NLL(), noise_scale=0.0, retain_weight=WEIGHT, seed=0)
    trainer.fit(module, demo_data(world, seed=0, batch_size=4), ckpt_path=resume and str(resume))
    return seen, module


def followed(retain: list[float], limit: float, step_size: float, *, warmup: int = 0) -> list[float]:
    """The weight after each step, in plain numbers."""
    weight, out = WEIGHT, []
    for step, loss in enumerate(retain, start=1):
        weight = max(0.0, weight + step_size * (loss - limit)) if step > warmup else weight
        out.append(weight)
    return out


@pytest.mark.parametrize(("limit", "warmup"), [(2.0, 0), (2.0, 2), (6.0, 0)])
def test_the_weight_follows_the_retain_loss(world: Path, tmp_path: Path, limit: float, warmup: int) -> None:
    constraint = RetainConstraint(limit, step_size=2.0, warmup_steps=warmup)
    seen, module = fitted(world, tmp_path, constraint)
    expected = followed(seen.retain, limit, 2.0, warmup=warmup)
    assert seen.weights == pytest.approx(expected, rel=1e-6)
    assert seen.logged == pytest.approx(expected, rel=1e-6)
    assert expected[-1] > WEIGHT if limit == 2.0 else expected[-1] < WEIGHT
    used = [WEIGHT, *expected[:-1]]  # a step's loss has the weight of the steps before
    losses = [forget + weight * kept for forget, kept, weight in zip(seen.forget, seen.retain, used, strict=True)]
    assert seen.loss == pytest.approx(losses, rel=1e-5)
    assert type(module.retain_weight) is PerTopic
    assert module.retain_weight.values == module.hyperparameters()["retain_weight"] == WEIGHT


def test_the_weight_is_never_below_0(world: Path, tmp_path: Path) -> None:
    seen, _ = fitted(world, tmp_path, RetainConstraint(1e3, step_size=1.0))
    assert seen.weights == [0.0] * 6
    assert seen.loss[1:] == pytest.approx(seen.forget[1:])


def test_a_step_of_accumulated_batches_moves_it_once(world: Path, tmp_path: Path) -> None:
    seen, _ = fitted(world, tmp_path, RetainConstraint(2.0), accumulate_grad_batches=2, max_steps=3)
    pairs = [sum(seen.retain[first : first + 2]) / 2 for first in (0, 2, 4)]
    assert seen.weights[::2] == pytest.approx([WEIGHT, *followed(pairs, 2.0, 1.0)[:-1]], rel=1e-6)
    assert seen.weights[1::2] == pytest.approx(followed(pairs, 2.0, 1.0), rel=1e-6)


def test_a_resumed_run_continues_bit_for_bit(world: Path, tmp_path: Path) -> None:
    whole, module = fitted(world, tmp_path / "whole", RetainConstraint(2.0))
    rest, again = fitted(world, tmp_path / "rest", RetainConstraint(2.0), resume=tmp_path / "whole" / "step=3.ckpt")
    assert rest.weights == whole.weights[3:]
    assert rest.loss == whole.loss[3:]
    for name, value in module.trained_parameters().items():
        assert torch.equal(value, again.trained_parameters()[name])


def test_a_checkpoint_with_other_numbers_or_without_a_weight_is_refused(world: Path, tmp_path: Path) -> None:
    fitted(world, tmp_path, RetainConstraint(2.0), max_steps=3)
    made = tmp_path / "step=3.ckpt"
    with pytest.raises(InputError, match=r"^RetainConstraint\.limit: the checkpoint was made with 2\.0, this run"):
        fitted(world, tmp_path, RetainConstraint(3.0), resume=made)
    held = torch.load(made, weights_only=True)
    held["callbacks"] = {}
    torch.save(held, made)
    with pytest.raises(InputError, match=r"^ckpt_path: made without RetainConstraint, .* start a new run"):
        fitted(world, tmp_path, RetainConstraint(2.0), resume=made)


def one_of_two(rank: int, port: str, world: Path, folder: Path) -> None:
    """A run of two processes, in one of them."""
    os.environ |= torchrun_variables(rank, 2, port)
    seen, _ = fitted(world, folder / "run", RetainConstraint(2.0), devices=2, strategy="ddp")
    (folder / f"{rank}.json").write_text(json.dumps({"weights": seen.weights, "retain": seen.retain}))


@pytest.mark.slow
def test_two_processes_have_one_weight_which_is_that_of_one_process(world: Path, tmp_path: Path) -> None:
    run_in_several(one_of_two, (free_port(), world, tmp_path), 2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["weights"] == second["weights"]
    assert first["retain"] != second["retain"]  # each has seen rows of its own
    alone, _ = fitted(world, tmp_path / "one", RetainConstraint(2.0))
    assert first["weights"] == pytest.approx(alone.weights, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit": float("nan")}, r"RetainConstraint\.limit: must be finite, got nan"),
        ({"limit": float("inf")}, r"RetainConstraint\.limit: must be finite, got inf"),
        ({"limit": 1.0, "step_size": 0.0}, r"RetainConstraint\.step_size: must be above 0, got 0.0"),
        ({"limit": 1.0, "warmup_steps": -1}, r"RetainConstraint\.warmup_steps: must be at least 0, got -1"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        RetainConstraint(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retain": NoLoss()}, r"RetainConstraint: model\.retain is NoLoss, .*; give another, e\.g\. NLL"),
        ({"retain_weight": [1.0, 2.0]}, r"model\.retain_weight: \[1\.0, 2\.0\] is one for each topic; Retain"),
    ],
)
def test_a_module_without_one_weight_is_refused(
    world: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    module = demo_module(world, noise_scale=0.0, **options)
    with pytest.raises(InputError, match=told):
        quiet_trainer(tmp_path, callbacks=[RetainConstraint(1.0)]).fit(module, demo_data(world))


def test_another_module_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"QuestionModule is not an UnlearnModule; remove the callback"):
        RetainConstraint(1.0).setup(quiet_trainer(tmp_path), QuestionModule(str(world / "model")), "fit")


def test_before_training_there_is_no_weight() -> None:
    with pytest.raises(InputError, match=r"RetainConstraint\.weight: there is none before training"):
        assert RetainConstraint(1.0).weight
