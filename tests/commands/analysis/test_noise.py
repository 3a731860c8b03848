"""Noise on hidden states: what a row gets does not depend on the batch that it is in."""

import pytest
import torch

from lit_unlearn.commands.analysis.noise import NoisyModel
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import stream_rows
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.layers import decoder_layers


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_row_has_its_own_noise_in_any_batch(opened: Run, side: str) -> None:
    model = opened.load_base().eval()
    noisy = NoisyModel(model, decoder_layers(model))
    long, short = stream_rows(opened, 1)["forget"][:2]
    short = short._replace(input_ids=short.input_ids[:9])
    both, alone = batch([long, short], side), batch([short], side)
    assert noisy.loss_rise(both, 1, [0.0]).abs().max() < 1e-5
    rise = noisy.loss_rise(both, 1, [0.5, 2.0])
    torch.testing.assert_close(rise[:, 1:], noisy.loss_rise(alone, 1, [0.5, 2.0]), rtol=1e-3, atol=1e-5)
    assert (rise[1] > rise[0]).all()
    torch.testing.assert_close(noisy.sensitivity(both, 1)[1:], noisy.sensitivity(alone, 1), rtol=1e-3, atol=1e-5)


def batch(rows: list[Row], side: str) -> Batch:
    return collate(rows, padding_side=side, padding_id=0)
