import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import NPO, DemoDataModule, InputError, LogitKL, PerturbationRobustness, UnlearnModule
from lit_unlearn.callbacks import Interpolation
from tests.callbacks.test_robustness import EVERY, evaluation
from tests.fast import only
from tests.training import demo_data, demo_module, quiet_trainer


class Weights(L.Callback):
    """One trained matrix, whenever a validation ends."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seen.append(first_trained(pl_module))


def first_trained(module: Any) -> torch.Tensor:
    first: torch.Tensor = next(iter(module.trained_parameters().values()))
    return first.detach().clone()


def fit(world: Path, tmp_path: Path, *callbacks: L.Callback, **options: Any) -> tuple[Any, L.Trainer]:
    module = demo_module(world)
    trainer = quiet_trainer(tmp_path / "run", max_steps=2, callbacks=list(callbacks), **EVERY, **options)
    trainer.fit(module, demo_data(world, evaluation=evaluation(tmp_path)))
    return module, trainer


def test_it_evaluates_the_weights_on_the_way_and_puts_them_back(world: Path, tmp_path: Path) -> None:
    weights = Weights()
    module, _ = fit(world, tmp_path, PerturbationRobustness(), Interpolation([0.25, 0.5]), weights)
    base, trained, quarter, half = weights.seen
    assert not torch.equal(base, trained)
    torch.testing.assert_close(quarter, base + 0.25 * (trained - base))
    torch.testing.assert_close(half, base + 0.5 * (trained - base))
    assert torch.equal(first_trained(module), trained)
    records = json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"]
    assert [(one["step"], one.get("interpolation")) for one in records] == [(0, None), (2, None), (2, 0.25), (2, 0.5)]


def test_no_checkpoint_is_kept_of_weights_on_the_way(world: Path, tmp_path: Path) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="val/selectivity", mode="max", save_top_k=-1)
    _, trainer = fit(world, tmp_path, PerturbationRobustness(), Interpolation(), best, enable_checkpointing=True)
    assert len(list((tmp_path / "best").iterdir())) == 1
    assert "val/selectivity" in trainer.callback_metrics


@pytest.mark.parametrize("tied", only([True, False], True))
def test_all_parameters_are_taken_back_half_way(world: Path, tmp_path: Path, tied: bool) -> None:
    options: dict[str, Any] = {"forget": NPO(), "retain": LogitKL(), "noise_scale": 0.0, "trainable": [".*"]}
    trainer = quiet_trainer(tmp_path, max_steps=2, callbacks=[PerturbationRobustness(), Interpolation([0.5])], **EVERY)
    if tied:
        module = UnlearnModule("demo", layer=2, **options)
        trainer.fit(module, DemoDataModule(questions=8, batch_size=2, holdout=8))
    else:
        module = demo_module(world, **options)
        trainer.fit(module, demo_data(world, evaluation=evaluation(tmp_path)))
    assert module.updated.config.tie_word_embeddings == tied
    between = json.loads((tmp_path / "results.json").read_text())["evaluations"][-1]
    assert between["interpolation"] == 0.5


def test_without_anyone_to_count_it_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"needs PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation among .*; add one"
    ):
        fit(world, tmp_path, Interpolation())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_a_share_that_is_not_on_the_way_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"is not on the way; give numbers between 0 and 1"):
        Interpolation([0.5, share])
