"""A retain weight that rises with the steps."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import (
    CircuitBreaker,
    InputError,
    NoLoss,
    PerTopic,
    QuestionModule,
    RepresentationNorm,
    RetainConstraint,
    RetainSchedule,
)
from tests.training import demo_data, demo_module, quiet_trainer

WEIGHT = 3.0


class Seen(L.Callback):
    """Each batch's losses, and the weight that is logged."""

    def __init__(self) -> None:
        self.forget: list[float] = []
        self.retain: list[float] = []
        self.loss: list[float] = []
        self.logged: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, *args: Any) -> None:
        self.forget.append(outputs["forget_losses"].mean().item())
        self.retain.append(outputs["retain_losses"].mean().item())
        self.loss.append(outputs["loss"].item())
        self.logged.append(float(trainer.callback_metrics.get("train/retain_weight", -1.0)))


def fitted(world: Path, folder: Path, schedule: RetainSchedule, **options: Any) -> tuple[Seen, Any]:
    seen, keep = Seen(), ModelCheckpoint(folder, filename="{step}", every_n_train_steps=3, save_top_k=-1)
    resume = options.pop("resume", None)
    callbacks = [schedule, seen, keep]
    trainer = quiet_trainer(folder, callbacks=callbacks, enable_checkpointing=True, **{"max_steps": 6} | options)
    losses = {"forget": CircuitBreaker([5]), "retain": RepresentationNorm([6])}
    module = demo_module(world, **losses, noise_scale=0.1, retain_weight=WEIGHT, seed=0)
    trainer.fit(module, demo_data(world, seed=0, batch_size=4), ckpt_path=resume and str(resume))
    return seen, module


@pytest.mark.parametrize(("steps", "whole"), [(None, 6), (4, 4)])
def test_the_weight_has_the_papers_ratio(world: Path, tmp_path: Path, steps: int | None, whole: int) -> None:
    seen, module = fitted(world, tmp_path, RetainSchedule(steps))
    # c_r / c_s of Zou et al.: α t / 2T over α (1 - t / 2T), after T that of T.
    reached = [min(step, whole) / (2 * whole) for step in range(6)]
    weights = [WEIGHT * share / (1 - share) for share in reached]
    assert weights[0] == 0.0
    assert seen.logged == pytest.approx(weights)
    losses = [forget + weight * kept for forget, kept, weight in zip(seen.forget, seen.retain, weights, strict=True)]
    assert seen.loss == pytest.approx(losses, rel=1e-5)
    assert type(module.retain_weight) is PerTopic
    assert module.retain_weight.values == module.hyperparameters()["retain_weight"] == WEIGHT


def test_accumulated_batches_have_the_weight_of_their_step(world: Path, tmp_path: Path) -> None:
    seen, _ = fitted(world, tmp_path, RetainSchedule(), accumulate_grad_batches=2, max_steps=3)
    assert seen.logged == pytest.approx([WEIGHT * step / (6 - step) for step in (0, 0, 1, 1, 2, 2)])


def test_a_resumed_run_continues_bit_for_bit(world: Path, tmp_path: Path) -> None:
    whole, module = fitted(world, tmp_path / "whole", RetainSchedule())
    rest, again = fitted(world, tmp_path / "rest", RetainSchedule(), resume=tmp_path / "whole" / "step=3.ckpt")
    assert rest.loss == whole.loss[3:]
    for name, value in module.trained_parameters().items():
        assert torch.equal(value, again.trained_parameters()[name])


@pytest.mark.parametrize(
    ("callbacks", "options", "told"),
    [
        (
            [RetainSchedule(), RetainConstraint(1.0)],
            {},
            r"^RetainSchedule: RetainConstraint moves the retain",
        ),
        ([RetainSchedule()], {"retain": NoLoss(), "noise_scale": 0.0}, r"^RetainSchedule: model\.retain is NoLoss"),
    ],
)
def test_what_does_not_go_together_is_refused(
    world: Path, tmp_path: Path, callbacks: list[L.Callback], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        quiet_trainer(tmp_path, callbacks=callbacks).fit(demo_module(world, **options), demo_data(world))


def test_an_end_that_is_not_known_is_refused(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[RetainSchedule()], max_steps=-1, max_epochs=1)
    with pytest.raises(InputError, match=r"^RetainSchedule\.steps: trainer\.max_steps does not say when .* a number"):
        trainer.fit(demo_module(world), demo_data(world))


def test_another_module_is_refused(world: Path, tmp_path: Path) -> None:
    module, trainer = QuestionModule(str(world / "model")), quiet_trainer(tmp_path)
    with pytest.raises(InputError, match=r"^RetainSchedule: QuestionModule is not an UnlearnModule; remove the"):
        RetainSchedule().setup(trainer, module, "fit")


def test_steps_below_1_are_refused() -> None:
    with pytest.raises(InputError, match=r"^RetainSchedule\.steps: must be at least 1, got 0"):
        RetainSchedule(0)
