"""Padding side, amount of padding and batch size change nothing, in every family and on either side."""

from pathlib import Path

import pytest
import torch

from lit_unlearn import NLL, RMU, RSV, AdaptiveRMU, Batch, RepresentationMSE
from lit_unlearn.forward import Noise, positions
from lit_unlearn.frozen import FrozenModel, run_pair
from lit_unlearn.loss import Loss
from lit_unlearn.models import choose_trainable, decoder_layers, default_trainable, load_model
from lit_unlearn.randomness import gaussian_noise
from tests.batches import padded, random_rows
from tests.families import FAMILIES, write_family

LAYER = 3
LOSSES = (RMU(6.5), AdaptiveRMU(3.0), RSV(10.0), RepresentationMSE(), NLL())


class Pair:
    """Both models of a family, the updated one a little changed."""

    def __init__(self, folder: Path, *, change: float) -> None:
        self.updated = load_model(str(folder), torch.float32)
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
            needs_logits=loss.needs_logits,
            needs_frozen=loss.needs_frozen,
            noise=scaled,
        )
        with torch.no_grad():
            value: torch.Tensor = loss(*outputs, batch)
        return value


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_batch_size_change_no_loss(tmp_path: Path, family: str) -> None:
    pair = Pair(write_family(tmp_path, family), change=0.05)
    rows = random_rows(4, seed=1)
    for loss in LOSSES:
        noise = 0.1 if isinstance(loss, RepresentationMSE) else 0.0
        expected = torch.cat([pair.rows(loss, padded([row], "right"), noise_scale=noise) for row in rows])
        assert expected.min() > 1e-4
        for side in ("right", "left"):
            for extra in (0, 5):
                got = pair.rows(loss, padded(rows, side, extra), noise_scale=noise)
                torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5, msg=f"{loss} {side} {extra}")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_before_training_the_retain_loss_is_exactly_zero(tmp_path: Path, family: str, side: str) -> None:
    pair = Pair(write_family(tmp_path, family), change=0.0)
    rows = pair.rows(RepresentationMSE(), padded(random_rows(4, seed=1), side))
    assert rows.tolist() == [0.0] * 4
