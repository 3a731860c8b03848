"""A run resumed from a checkpoint continues bit for bit."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import OneCycleLR

from lit_unlearn import RMU, InputError
from lit_unlearn.runs import checkpoint_io
from tests.fast import only
from tests.training import Losses, demo_data, demo_module, quiet_trainer

STEPS = 40  # an epoch of the demo's 60 rows per stream, in batches of 4, has 30


def fit(world: Path, folder: Path, *, resume: str | None = None, **options: Any) -> tuple[list[float], dict[str, Any]]:
    losses = Losses()
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = quiet_trainer(
        folder, max_steps=STEPS, enable_checkpointing=True, callbacks=[losses, keep], precision="bf16-mixed"
    )
    module = demo_module(world, **options)
    trainer.fit(module, demo_data(world), ckpt_path=resume)
    return losses.values, {name: value.clone() for name, value in module.trained_parameters().items()}


@pytest.fixture(scope="module")
def uninterrupted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return (folder, *fit(world, folder))


@pytest.mark.parametrize("step", only([5, 30, 35], 30))
def test_losses_and_weights_continue_bit_for_bit(
    world: Path, tmp_path: Path, uninterrupted: tuple[Path, list[float], dict[str, Any]], step: int
) -> None:
    folder, losses, weights = uninterrupted
    resumed_losses, resumed_weights = fit(world, tmp_path, resume=str(folder / f"step={step}.ckpt"))
    assert resumed_losses == losses[step:]
    for name, value in resumed_weights.items():
        assert torch.equal(value, weights[name])


def test_a_checkpoint_holds_the_trained_parameters_and_loads_with_weights_only(
    uninterrupted: tuple[Path, list[float], dict[str, Any]],
) -> None:
    folder, _, weights = uninterrupted
    checkpoint = torch.load(folder / "step=40.ckpt", weights_only=True)
    assert checkpoint["state_dict"].keys() == weights.keys()
    assert len(weights) == 3
    states = checkpoint["optimizer_states"][0]["state"]
    assert {value.numel() for state in states.values() for value in state.values()} == {1, 64 * 128}
    assert "hyper_parameters" not in checkpoint


def test_a_checkpoint_of_other_trained_parameters_is_refused(
    world: Path, tmp_path: Path, uninterrupted: tuple[Path, list[float], dict[str, Any]]
) -> None:
    with pytest.raises(InputError, match=r"ckpt_path: .*other trained parameters.*resume with"):
        fit(world, tmp_path, resume=str(uninterrupted[0] / "step=5.ckpt"), layer=6)


@pytest.mark.parametrize("options", [{"seed": 5}, {"forget": RMU(6.5, seed=5)}])
def test_a_run_of_other_seeds_is_not_continued(
    world: Path, tmp_path: Path, uninterrupted: tuple[Path, list[float], dict[str, Any]], options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"ckpt_path: made with seeds .*; resume with the same model.seed"):
        fit(world, tmp_path, resume=str(uninterrupted[0] / "step=5.ckpt"), **options)


def test_another_learning_rate_is_refused_and_not_ignored(
    world: Path, tmp_path: Path, uninterrupted: tuple[Path, list[float], dict[str, Any]]
) -> None:
    def slower(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, eps=1e-8)

    with pytest.raises(
        InputError, match=r"model.optimizer.lr: the checkpoint was made with 0.003, this run has 0.0001;"
    ):
        fit(world, tmp_path, resume=str(uninterrupted[0] / "step=5.ckpt"), optimizer=slower)


def test_a_schedule_that_sets_the_learning_rate_is_continued(world: Path, tmp_path: Path) -> None:
    once = partial(OneCycleLR, max_lr=3e-3, total_steps=STEPS, div_factor=1000.0)
    losses, weights = fit(world, tmp_path / "whole", lr_scheduler=once)
    resumed_losses, resumed_weights = fit(
        world, tmp_path / "resumed", resume=str(tmp_path / "whole" / "step=30.ckpt"), lr_scheduler=once
    )
    assert resumed_losses == losses[30:]
    assert all(torch.equal(resumed_weights[name], weight) for name, weight in weights.items())


def test_a_checkpoint_of_weights_alone_is_known(
    tmp_path: Path, uninterrupted: tuple[Path, list[float], dict[str, Any]]
) -> None:
    whole = uninterrupted[0] / "step=5.ckpt"
    held = torch.load(whole, weights_only=True)
    del held["optimizer_states"]
    torch.save(held, tmp_path / "weights.ckpt")
    assert checkpoint_io.resumes(str(whole))
    assert not checkpoint_io.resumes(str(tmp_path / "weights.ckpt"))


def test_a_checkpoint_of_another_program_is_refused(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    trainer = quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    with pytest.raises(InputError, match=r"ckpt_path: not a checkpoint of lit-unlearn; give a file such as"):
        module.on_load_checkpoint({"state_dict": {}})
