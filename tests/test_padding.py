"""Padding side, amount of padding and batch size change nothing, in every family and on either side."""

from pathlib import Path

import pytest
import torch

from lit_unlearn import (
    CEU,
    DPO,
    NLL,
    NPO,
    PDU,
    RMU,
    RSV,
    UNDIAL,
    WGA,
    AdaptiveRMU,
    Batch,
    CircuitBreaker,
    Distillation,
    GradientAscent,
    LogitKL,
    LogitMSE,
    RepresentationMSE,
    RepresentationNorm,
    SatImp,
    SimNPO,
    TokenWeightedRMU,
)
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Loss
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable, default_trainable
from lit_unlearn.randomness import gaussian_noise
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.hooks import Noise
from lit_unlearn.running.pair import run_pair
from lit_unlearn.running.partial_forward import positions
from tests.batches import padded, random_rows
from tests.families import each_family, write_family

LAYER = 3
ON_LOGITS = (
    GradientAscent(),
    NPO(),
    NPO(length_normalized=True),
    SimNPO(margin=0.1),
    PDU(),
    Distillation(),
    UNDIAL(),
    CEU(),
    SatImp(0.5, 1.0),
    WGA(),
    DPO(),
    LogitKL(),
    LogitMSE(),
    NLL(),
)
LOSSES = (
    RMU(6.5),
    TokenWeightedRMU(6.5),
    AdaptiveRMU(3.0),
    RSV(10.0),
    CircuitBreaker([2]),
    RepresentationMSE(),
    RepresentationNorm([2]),
    *ON_LOGITS,
)


class Pair:
    """Both models of a family, the updated one a little changed."""

    def __init__(self, folder: Path, *, change: float) -> None:
        self.updated = load_model(ModelSource(str(folder)), torch.float32)
        self.layers = decoder_layers(self.updated)
        names = default_trainable(self.updated, self.layers, LAYER)
        choose_trainable(self.updated, names)
        self.frozen = FrozenModel(self.updated)
        parameters = dict(self.updated.named_parameters())
        source = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name in names:
                parameters[name].add_(torch.randn(parameters[name].shape, generator=source), alpha=change)

    def rows(self, loss: Loss, batch: Batch, *, noise_scale: float = 0.0) -> torch.Tensor:
        def noise(hidden: torch.Tensor) -> torch.Tensor:
            place = positions(batch["attention_mask"])
            return noise_scale * gaussian_noise(batch["row"], place, hidden.shape[-1], seed=0, step=4)

        scaled: tuple[int, Noise] | None = (LAYER, noise) if noise_scale else None
        outputs = run_pair(
            self.updated,
            self.frozen,
            self.layers,
            batch,
            layer=LAYER,
            reader=loss,
            noise=scaled,
        )
        with torch.no_grad():
            value: torch.Tensor = loss(*outputs, batch)
        return value


def with_answers(numbers: range, side: str, extra: int = 0) -> Batch:
    """Some of four rows, and some of four answers."""
    rows, answers = random_rows(4, seed=1), random_rows(4, seed=2)
    batch = padded([rows[number] for number in numbers], side, extra)
    batch["token_weight"] = batch["input_ids"] % 3 + 0.5
    batch["preferred"] = padded([answers[number] for number in numbers], side, extra)
    return batch


@pytest.mark.parametrize("family", each_family())
def test_padding_and_batch_size_change_no_loss(tmp_path: Path, family: str) -> None:
    pair = Pair(write_family(tmp_path, family), change=0.05)
    for loss in LOSSES:
        noise = 0.1 if loss.stream == "retain" and loss.needs_frozen else 0.0
        alone = [with_answers(range(number, number + 1), "right") for number in range(4)]
        expected = torch.cat([pair.rows(loss, batch, noise_scale=noise) for batch in alone])
        assert expected.abs().min() > 1e-4
        for side in ("right", "left"):
            for extra in (0, 5):
                got = pair.rows(loss, with_answers(range(4), side, extra), noise_scale=noise)
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-5, msg=f"{loss} {side} {extra}")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", each_family())
def test_before_training_retain_losses_and_log_ratios_are_exactly_zero(tmp_path: Path, family: str, side: str) -> None:
    pair = Pair(write_family(tmp_path, family), change=0.0)
    for loss in (RepresentationMSE(), RepresentationNorm([2]), LogitKL(), LogitMSE()):
        assert pair.rows(loss, with_answers(range(4), side)).tolist() == [0.0] * 4
    at_zero = functional.preference_loss(torch.zeros(4), beta=0.1)
    for preference in (NPO(), NPO(length_normalized=True), DPO(), DPO(length_normalized=True)):
        assert torch.equal(pair.rows(preference, with_answers(range(4), side)), at_zero)
