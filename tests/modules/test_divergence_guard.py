import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lit_unlearn import NLL, RMU, WGA, ExportPretrained, InputError, LastCheckpoint, RepresentationMSE
from lit_unlearn.losses import AdaptiveRMU
from lit_unlearn.losses.contract import Batch, Loss, Outputs
from tests.fast import only
from tests.training import demo_data, demo_module, quiet_trainer


class Breaks(Loss):
    """Another loss that is not finite for one row from the n-th step on."""

    def __init__(self, step: int, value: float = torch.nan) -> None:
        super().__init__()
        self.own, self.step, self.value, self.seen = RMU(6.5), step, value, 0

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        self.seen += 1
        loss: Tensor = self.own(updated, frozen, batch)
        self.row = int(batch["row"][1])
        return loss * torch.where(batch["row"] == self.row, self.value, 1.0) if self.seen >= self.step else loss


class Spoils(L.Callback):
    """Puts a value where it does not belong, after so many steps."""

    def __init__(self, step: int, where: str) -> None:
        self.step, self.where = step, where

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.where == "gradient" and trainer.global_step == self.step - 1:
            next(p for p in pl_module.parameters() if p.requires_grad).grad[0] = torch.inf  # type: ignore[index]

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if self.where == "weight" and trainer.global_step == self.step:
            next(p for p in pl_module.parameters() if p.requires_grad).data[0] = torch.nan


def fit(world: Path, folder: Path, *callbacks: L.Callback, steps: int = 6, every: int = 2, **options: Any) -> None:
    kept = LastCheckpoint(every_n_steps=every)
    trainer = quiet_trainer(
        folder, max_steps=steps, callbacks=[*callbacks, kept, ExportPretrained()], enable_checkpointing=True
    )
    trainer.fit(demo_module(world, **options), demo_data(world))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_with_step_stream_and_row(world: Path, tmp_path: Path, value: float) -> None:
    broken = Breaks(5, value)
    with pytest.raises(InputError) as stop:
        fit(world, tmp_path, forget=broken)
    message = str(stop.value)
    assert message.startswith("step 5: the forget loss of row ")
    assert message.split("row ")[1].split(" ")[0].isdigit()
    assert "last finite losses: forget " in message
    assert ", retain " in message
    assert f"; {tmp_path}/last.ckpt is of a step before; lower model.optimizer.lr, or look at these rows" in message
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("step", only([3, 4, 5, 6], 3, 4))
@pytest.mark.parametrize(("where", "message"), [("gradient", "the gradient is"), ("weight", "")])
def test_nothing_that_is_not_finite_is_saved(world: Path, tmp_path: Path, step: int, where: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"^step {step}: {message}|^step [3-6]: .*not finite; last finite losses"):
        fit(world, tmp_path, Spoils(step, where))
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert held["global_step"] < step
    assert all(value.isfinite().all() for value in held["state_dict"].values())
    assert not (tmp_path / "export").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_run_without_steps_warns_of_nothing_and_one_that_changes_nothing_does(world: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="nothing was unlearned: no trained parameter has changed"):
        fit(world, tmp_path, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))


def test_a_forget_loss_that_does_not_fall_is_said(world: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the forget loss has not fallen: [\d.]+ in the first 10 steps, [\d.]+ in"):
        fit(
            world,
            tmp_path,
            steps=20,
            optimizer=lambda p: torch.optim.AdamW(p, lr=1e-2, maximize=True),
            retain_weight=0.1,
        )


def test_of_a_loss_whose_weights_move_it_is_not_said(world: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*fallen")
        fit(
            world,
            tmp_path,
            steps=20,
            optimizer=lambda p: torch.optim.AdamW(p, lr=1e-2, maximize=True),
            forget=WGA(),
            retain=NLL(),
            noise_scale=0.0,
            retain_weight=0.1,
        )


@pytest.mark.parametrize(
    ("forget", "steps"), [(RMU(28.0), 20), pytest.param(AdaptiveRMU(5.0), 20, marks=pytest.mark.slow), (RMU(28.0), 10)]
)
def test_a_run_that_unlearns_is_not_warned_of(world: Path, tmp_path: Path, forget: Loss, steps: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*unlearned|.*fallen")
        fit(world, tmp_path, steps=steps, every=100, forget=forget, retain=RepresentationMSE(), retain_weight=0.1)
