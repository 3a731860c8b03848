"""Sensitivity to noise: against a forward with hooks of torch's own, and on losses whose answer is known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis.noise import DRAWS, SHARE, NoisyModel
from lit_unlearn.commands.analysis.noise_sensitivity import SCALES, response
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import stream_rows
from lit_unlearn.data.rows import Row
from lit_unlearn.randomness import gaussian_noise
from tests.commands.analysis.analysing import analysed


def noise(row: Row, draw: int) -> Tensor:
    place = torch.arange(len(row.input_ids))[None]
    return gaussian_noise(torch.tensor([row.number]), place, 64, seed=0, step=draw)


@torch.no_grad()
def run(model: PreTrainedModel, row: Row, layer: int, added: Tensor) -> tuple[float, Tensor]:
    """NLL of a row, and the states after the last layer, with something added after a layer."""
    last: list[Tensor] = []
    handles = [
        model.model.layers[layer].register_forward_hook(lambda module, args, output: output + added),
        model.model.layers[-1].register_forward_hook(lambda module, args, output: last.append(output)),
    ]
    ids = torch.tensor([row.input_ids])
    loss = float(model(input_ids=ids, labels=ids).loss)
    for handle in handles:
        handle.remove()
    return loss, last[0]


def test_rise_and_sensitivity_are_those_of_plain_forwards(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "noise-sensitivity", str(method), "--rows=2", "--batch-size=3")
    base, model = opened.load_base(), opened.load_unlearned()
    streams = stream_rows(opened, 2)
    states = torch.cat([_states(base, row)[1:] for row in streams["retain"]])
    rms = float(states.square().mean().sqrt())
    assert section["numbers"]["rms"] == {"2": pytest.approx(rms, rel=1e-4)}
    own = section["numbers"]["method"]["forget"]
    rises, phis = [], []
    for row in streams["forget"]:
        before, after = run(model, row, 2, torch.zeros(1))
        drawn = [
            run(model, row, 2, sign * SCALES[2] * rms * noise(row, draw))[0]
            for draw in range(DRAWS)
            for sign in (1, -1)
        ]
        rises.append(sum(drawn) / len(drawn) - before)
        hidden = _states(model, row)
        for draw in range(DRAWS):
            added = SHARE * hidden.norm(dim=-1, keepdim=True) / 8 * noise(row, draw)
            added[:, 0] = 0
            changed = (run(model, row, 2, added)[1] - after).square().sum(dim=-1) / after.square().sum(dim=-1)
            phis.append(float(changed[0, 1:].mean()) / SHARE**2)
    assert own["rise"][2] == pytest.approx(sum(rises) / len(rises), abs=1e-4)
    assert own["phi"][2] == pytest.approx(sum(phis) / len(phis), rel=1e-3)
    assert own["rise_error"][2] > 0
    assert own["predicted"] == pytest.approx([scale**2 * own["predicted"][2] for scale in SCALES])
    assert len(own["phi"]) == len(base.model.layers) - 1
    assert [row[:2] for row in section["rows"]] == [
        [model, stream] for model in ("base", "method") for stream in ("forget", "retain")
    ]


@torch.no_grad()
def _states(model: PreTrainedModel, row: Row) -> Tensor:
    hidden: Tensor = model(input_ids=torch.tensor([row.input_ids]), output_hidden_states=True).hidden_states[3][0]
    return hidden


class Quadratic(NoisyModel):
    """ℓ(z) = a‖z‖² / 2 + b · z at z = 0, and layers that multiply by 3."""

    def nll(self, batch, noise=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        added = torch.zeros(*batch["input_ids"].shape, 64) if noise is None else noise[1](torch.zeros(1, 1, 64))
        return added.square().sum(dim=(1, 2)) / 2 + 5 * added.sum(dim=(1, 2))

    def states(self, batch, layer, noise=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        hidden = torch.ones(*batch["input_ids"].shape, 64)
        return 3 * (hidden if noise is None else hidden + noise[1](hidden))


def test_of_a_quadratic_loss_the_prediction_is_exact_and_a_scaling_passes_noise_on() -> None:
    class Of:
        device = torch.device("cpu")

    rows = [Row([1, *range(10, 40)], 0, number) for number in range(6)]
    quadratic = Quadratic(Of(), [None, None])  # type: ignore[arg-type]
    found = response(quadratic, rows, layer=0, rms=0.7, batch_size=4, text="")
    for scale, rise in zip(SCALES, found.rise, strict=True):
        torch.testing.assert_close(rise, scale**2 * found.curvature, rtol=1e-3, atol=1e-3)
    expected = 31 * 64 * 0.7**2 / 2  # tr ∇²ℓ = dimensions of all tokens
    torch.testing.assert_close(found.curvature.mean(), torch.tensor(expected), rtol=0.02, atol=0.0)
    torch.testing.assert_close(found.phi, torch.ones(1, 6), rtol=0.1, atol=0.0)


def test_a_config_is_measured_without_a_run(method: Path, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "noise-sensitivity", str(method / "config.yaml"), "--rows=1", "--batch-size=1")
    assert {row[0] for row in section["rows"]} == {"base"}
    assert section["numbers"]["base"]["forget"]["rise_error"][0] is not None  # a row of each topic
    assert section["numbers"]["base"]["retain"]["rows"] == 2
