"""Noise on weights before training: how much, when, and that the frozen model does not get it."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn import Distillation, InputError, LogitKL, Lora, ShrinkAndPerturb
from lit_unlearn.callbacks.shrink_and_perturb import disturbed
from tests.training import demo_data, demo_module, quiet_trainer

Weights = dict[str, torch.Tensor]


class Start(L.Callback):
    """The weights with which training begins, and the loss of each step."""

    def __init__(self) -> None:
        self.weights: list[Weights] = []
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        if not self.weights:
            named = pl_module.updated.named_parameters()
            self.weights.append({name: weight.detach().clone() for name, weight in named})

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        self.losses.append(float(outputs["loss"]))


def fit(world: Path, folder: Path, share: float, *, steps: int = 1, path: Path | None = None, **options: Any) -> Any:
    start = Start()
    given = {"forget": Distillation(), "retain": LogitKL(), "retain_weight": 1.0, "noise_scale": 0.0, "seed": 0}
    module = demo_module(world, **given | {"trainable": [".*"]} | options)
    trainer = quiet_trainer(folder, callbacks=[ShrinkAndPerturb(share), start], max_steps=steps)
    trainer.fit(module, demo_data(world, batch_size=4, seed=0), ckpt_path=path)
    return module, trainer, start


def test_matrices_are_shrunk_and_disturbed_and_vectors_only_shrunk() -> None:
    weight, vector = torch.randn(200, 100), torch.randn(7)
    found = disturbed(weight, 0.4, 0.5, seed=3)
    noise = (found - 0.6 * weight) / (0.4 * 0.5)
    bound = (6 / 300) ** 0.5
    assert float(noise.abs().max()) <= bound * 1.0001
    assert float(noise.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=bound / 50)
    assert torch.equal(disturbed(weight, 0.4, 0.5, seed=3), found)
    assert not torch.equal(disturbed(weight, 0.4, 0.5, seed=4), found)
    torch.testing.assert_close(disturbed(vector, 0.4, 0.5, seed=3), 0.6 * vector)
    torch.testing.assert_close(disturbed(weight, 0.0, 0.5, seed=3), weight)


def test_each_matrix_of_a_stack_of_experts_is_disturbed_as_a_matrix() -> None:
    found = disturbed(torch.zeros(8, 30, 20), 1.0, 1.0, seed=0)
    bounds = found.abs().amax(dim=(1, 2))
    assert (bounds <= (6 / 50) ** 0.5).all()
    assert (bounds >= 0.95 * (6 / 50) ** 0.5).all()
    assert not torch.equal(found[0], found[1])


def test_training_begins_with_noise_and_the_teacher_has_none(world: Path, tmp_path: Path) -> None:
    module, trainer, start = fit(world, tmp_path, 0.3, steps=2)
    plain = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32)
    before = dict(plain.requires_grad_(False).named_parameters())
    matrices = [name for name, weight in before.items() if weight.ndim > 1]
    for name, weight in start.weights[0].items():
        moved = weight - 0.7 * before[name]
        bound = 0.3 * 0.1 * (6 / sum(weight.shape)) ** 0.5 if name in matrices else 0.0
        assert float(moved.abs().max()) <= bound + 1e-6, name
        assert float(moved.abs().max()) >= 0.9 * bound, name
        assert torch.equal(module.frozen.originals()[name], before[name])
    names = [f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)]
    drawn = [start.weights[0][name] - 0.7 * before[name] for name in names]
    assert not torch.equal(*drawn)
    assert start.losses[0] > 0  # without noise the two models would agree
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    trained = {name: weight.detach().clone() for name, weight in module.updated.named_parameters()}
    resumed = fit(world, tmp_path, 0.3, steps=3, path=tmp_path / "x.ckpt")[2]
    assert all(torch.equal(resumed.weights[0][name], weight) for name, weight in trained.items())


@pytest.mark.parametrize(
    ("share", "noise", "message"),
    [
        (1.5, 0.1, r"share: 1\.5 is not a share of the weights; give 0 to 1"),
        (float("nan"), 0.1, "share: nan is not a share"),
        (0.5, -1, "noise: must be at least 0, got -1"),
        (0.5, float("inf"), "noise: must be at least 0 and finite, got inf"),
    ],
)
def test_impossible_numbers_are_refused(share: float, noise: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ShrinkAndPerturb(share, noise=noise)


def test_adapters_and_other_modules_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.lora trains adapters, .*set model\.trainable"):
        fit(world, tmp_path, 0.5, lora=Lora(), trainable=None)
    with pytest.raises(InputError, match="LightningModule is not an UnlearnModule; remove the callback"):
        ShrinkAndPerturb(0.5).check_options(quiet_trainer(tmp_path), L.LightningModule(), None)
