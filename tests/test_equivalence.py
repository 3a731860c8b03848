"""Shared prefix and frozen tail equal two plain full models: losses, gradients and weights."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.utils.data import DataLoader

from lit_unlearn import (
    DPO,
    NLL,
    NPO,
    RMU,
    RSV,
    AdaptiveRMU,
    Batch,
    CircuitBreaker,
    GradientAscent,
    LogitKL,
    LogitMSE,
    RepresentationMSE,
    RepresentationNorm,
    SimNPO,
    UnlearnModule,
)
from lit_unlearn.losses import by_token
from lit_unlearn.losses.contract import Loss
from tests.batches import pairs
from tests.families import each_family, write_family
from tests.fast import only
from tests.plain import PlainRun, train_plainly

LAYER = 3
LR = 3e-3
NO_PADDING_IN_FLOAT64 = ("gemma2",)
"""transformers' eager attention, gemma2's only one, takes the softmax in float32, where float64's masking value is -inf
and a wholly masked query NaN. In float32 padding works: test_padding.py."""


class Recorder(L.Callback):
    """Losses of every step, gradients of the last, parameters at the end."""

    def __init__(self) -> None:
        self.run = PlainRun()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        self.run.losses.append(float(outputs["loss"]))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        named = pl_module.named_parameters()
        self.run.gradients = {
            name.removeprefix("updated."): parameter.grad.clone()
            for name, parameter in named
            if parameter.grad is not None
        }

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        self.run.weights = {name: value.clone() for name, value in pl_module.updated.state_dict().items()}


def train(folder: Path, batches: list[dict[str, Batch]], *, forget: Loss, retain: Loss, **options: Any) -> Recorder:
    recorder = Recorder()
    module = UnlearnModule(
        str(folder),
        forget,
        retain,
        layer=LAYER,
        retain_weight=5.0,
        optimizer=lambda parameters: AdamW(parameters, lr=LR, weight_decay=0.0, eps=1e-8),
        seed=0,
        **options,
    )
    trainer = L.Trainer(
        max_epochs=1,
        precision="64-true",
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder],
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    return recorder


def assert_equals_two_full_models(
    folder: Path,
    batches: list[dict[str, Batch]],
    *,
    forget: Loss,
    retain: Loss,
    noise_scale: float = 0.0,
    noise_layer: int = LAYER,
    trainable: list[str] | None = None,
) -> None:
    ours = train(
        folder,
        batches,
        forget=forget,
        retain=retain,
        noise_scale=noise_scale,
        noise_layer=noise_layer,
        trainable=trainable,
    ).run
    plain = train_plainly(
        folder,
        batches,
        forget=forget,
        retain=retain,
        layer=LAYER,
        trained=list(ours.gradients),
        retain_weight=5.0,
        noise_scale=noise_scale,
        noise_layer=noise_layer,
        lr=LR,
    )
    assert ours.losses == pytest.approx(plain.losses, rel=1e-9)
    assert len(set(ours.losses)) == len(batches)
    assert_close(ours.gradients, plain.gradients)
    assert_close(ours.weights, {name: plain.weights[name] for name in ours.weights})  # the others are not loaded


def assert_close(ours: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    assert ours.keys() == plain.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("side", only(["right", "left"], "left"))
@pytest.mark.parametrize("family", each_family())
def test_twenty_steps_equal_two_full_models(tmp_path: Path, family: str, side: str) -> None:
    assert_equals_two_full_models(
        write_family(tmp_path, family),
        pairs(20, side=side, even=family in NO_PADDING_IN_FLOAT64),
        forget=AdaptiveRMU(3.0),
        retain=RepresentationMSE(),
        noise_scale=0.3,
    )


@pytest.mark.parametrize("forget", [RMU(6.5), RSV(10.0)], ids=repr)
def test_the_other_methods_equal_two_full_models(tmp_path: Path, forget: Loss) -> None:
    folder = write_family(tmp_path, "mistral")
    assert_equals_two_full_models(folder, pairs(5), forget=forget, retain=RepresentationMSE(), noise_scale=0.3)


def test_losses_on_several_layers_equal_two_full_models(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "mistral")
    assert_equals_two_full_models(
        folder,
        pairs(5),
        forget=CircuitBreaker([2, 1]),
        retain=RepresentationNorm([1]),
        noise_scale=0.3,
        noise_layer=2,
    )


def test_noise_below_the_first_trained_layer_equals_two_full_models(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "mistral")
    assert_equals_two_full_models(
        folder, pairs(5), forget=RSV(3.0), retain=RepresentationMSE(), noise_scale=0.3, noise_layer=0
    )


@pytest.mark.parametrize("family", each_family())
def test_losses_on_logits_equal_two_full_models(tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_token, "_CPU", by_token.Sizes(made=0, tokens=5, read=300))  # logits in several pieces
    assert_equals_two_full_models(
        write_family(tmp_path, family),
        pairs(5, side="left", even=family in NO_PADDING_IN_FLOAT64),
        forget=DPO(),
        retain=LogitKL(),
        noise_scale=0.3,
    )


@pytest.mark.parametrize(
    ("forget", "retain", "noise_scale"),
    [
        (NPO(), LogitKL(), 0.3),
        (NPO(length_normalized=True), LogitMSE(), 0.3),
        (SimNPO(margin=0.5), LogitMSE(), 0.0),
        (GradientAscent(), NLL(), 0.0),
        (RSV(3.0), LogitKL(), 0.3),
        (NPO(), RepresentationMSE(), 0.3),
    ],
    ids=repr,
)
def test_other_pairs_with_logits_equal_two_full_models(
    tmp_path: Path, forget: Loss, retain: Loss, noise_scale: float
) -> None:
    folder = write_family(tmp_path, "gemma3")
    assert_equals_two_full_models(folder, pairs(5), forget=forget, retain=retain, noise_scale=noise_scale)


@pytest.mark.parametrize("noise_layer", [0, 4])
def test_noise_at_another_layer_runs_on_to_the_same_logits(tmp_path: Path, noise_layer: int) -> None:
    folder = write_family(tmp_path, "mistral")
    assert_equals_two_full_models(
        folder, pairs(5), forget=NPO(), retain=LogitKL(), noise_scale=0.3, noise_layer=noise_layer
    )


@pytest.mark.parametrize(
    "trainable",
    [
        [r"lm_head\.weight"],
        [r"model\.norm\.weight", r"model\.layers\.4\.mlp\.down_proj\.weight"],
        [r"model\.embed_tokens\.weight"],
        [r"model\.layers\.4\.mlp\.down_proj\.weight"],
    ],
    ids=["head", "final norm", "embedding", "last layer"],
)
def test_whatever_is_trained_losses_on_logits_equal_two_full_models(tmp_path: Path, trainable: list[str]) -> None:
    folder = write_family(tmp_path, "llama")
    assert_equals_two_full_models(
        folder, pairs(5), forget=DPO(), retain=LogitKL(), noise_scale=0.1, trainable=trainable
    )


@pytest.mark.parametrize(
    "trainable",
    [
        [r"model\.layers\.[123]\..*"],
        [r".*embed_tokens.*", r"model\.layers\.2\.mlp\.down_proj\.weight"],
        [r"model\.layers\.0\.self_attn\.q_proj\.weight"],
        [r"model\.layers\.[12]\.input_layernorm\.weight"],
    ],
    ids=["whole layers", "embedding", "first layer", "norms"],
)
def test_whatever_is_trained_equals_two_full_models(tmp_path: Path, trainable: list[str]) -> None:
    assert_equals_two_full_models(
        write_family(tmp_path, "llama"),
        pairs(5),
        forget=AdaptiveRMU(3.0),
        retain=RepresentationMSE(),
        noise_scale=0.1,
        trainable=trainable,
    )
