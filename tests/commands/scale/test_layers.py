"""What is measured of every layer, against the model run by hand."""

from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.commands.scale.layers import LayerStates, candidates, chosen_layer, measure_layers
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.layers import decoder_layers
from tests.families import write_family

ROWS = [Row([5, 6, 7, 8], 0, 0), Row([9, 10], 0, 1)]


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()  # type: ignore[no-any-return]


def batch(side: str = "right") -> Batch:
    return collate(ROWS, padding_side=side, padding_id=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])  # the second adds what it knows of each position
def test_the_first_token_stands_apart_and_padding_does_not_count(family: str, side: str, tmp_path: Path) -> None:
    model = load(write_family(tmp_path, family))
    found = measure_layers(model, decoder_layers(model), [batch(side), batch(side)])
    first, others = [], []
    with torch.no_grad():
        for row in ROWS:
            outputs = model(torch.tensor([row.input_ids]), output_hidden_states=True)
            hidden = outputs.hidden_states[2][0]  # after layer 1, which is not the last
            first.append(hidden[:1])
            others.append(hidden[1:])
    head, rest = torch.cat(first).double(), torch.cat(others).double()
    assert found[1].norm == pytest.approx(float(rest.norm(dim=-1).mean()), rel=1e-4)
    assert found[1].first_norm == pytest.approx(float(head.norm(dim=-1).mean()), rel=1e-4)
    squares = head.square().sum(), rest.square().sum()
    assert found[1].first_share == pytest.approx(float(squares[0] / sum(squares)), rel=1e-4)
    assert found[1].rms == pytest.approx(rest.square().mean(dim=0).sqrt().tolist(), rel=1e-3)
    assert found[1].largest == pytest.approx(float(rest.square().sum(dim=0).max() / squares[1]), rel=1e-4)
    assert (found[1].bound, found[1].reach) == (None, None)


@pytest.mark.parametrize(("family", "shift"), [("gemma3", 1.0), ("olmo2", 0.0)])
def test_a_norm_after_the_mlp_bounds_what_it_adds(family: str, shift: float, tmp_path: Path) -> None:
    model = load(write_family(tmp_path, family))
    layer = decoder_layers(model)[0]
    weight = cast(Tensor, layer.get_submodule("post_feedforward_layernorm").weight)
    with torch.no_grad():
        weight.copy_(torch.linspace(0.1, 3.0, len(weight)))
    found = measure_layers(model, decoder_layers(model), [batch()])[0]
    assert found.bound == pytest.approx((weight.detach() + shift).tolist(), rel=1e-4)
    ratio = (weight.detach().double() + shift) / torch.tensor(found.rms, dtype=torch.float64)
    assert found.reach == pytest.approx(float(ratio.square().mean().sqrt()), rel=1e-3)


def test_layers_are_taken_at_a_quarter_to_a_third_of_the_depth() -> None:
    assert [list(candidates(depth)) for depth in (7, 18, 30, 32)] == [
        [2],
        [4, 5, 6],
        [7, 8, 9, 10],
        [8, 9, 10],
    ]
    assert [list(candidates(depth)) for depth in (1, 2, 3)] == [[0], [1], [2]]  # there are no others


def test_a_layer_without_a_sink_is_taken_before_one_with() -> None:
    plain, sink = (LayerStates(1.0, first, 0.5, 0.1, (1.0,), None) for first in (2.0, 99.0))
    larger = sink._replace(first_norm=200.0)
    assert chosen_layer([plain] * 30) == 9
    assert chosen_layer([sink] * 8 + [plain] + [sink] * 21) == 8
    assert chosen_layer([larger] * 10 + [sink] * 20) == 10
