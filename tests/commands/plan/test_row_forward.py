from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MistralConfig

from lit_unlearn import RMU, RepresentationMSE, UnlearnModule
from lit_unlearn.commands.plan.row_forward import RowForward, row_forward
from lit_unlearn.commands.plan.table import before_training


def module(folder: Path, layer: int) -> UnlearnModule:
    return UnlearnModule(str(folder), layer=layer, forget=RMU(1.0), retain=RepresentationMSE())


def test_it_is_a_forward_of_the_first_layers(world: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(world / "model", attn_implementation="eager")
    model.model.layers = model.model.layers[:3]
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.model(input_ids=torch.ones(1, 48, dtype=torch.long))
    found = row_forward(module(world / "model", 2), 48)
    assert (found.tokens, found.layers) == (48, 3)
    assert found.flops == pytest.approx(counted.get_total_flops(), rel=0.01)


def test_at_7b_it_is_two_operations_per_weight_and_token(tmp_path: Path) -> None:
    MistralConfig().save_pretrained(tmp_path)  # of 7B, 32 layers of 4096
    found = row_forward(module(tmp_path, 7), 512)
    weights = 8 * (4096 * (4096 + 1024 + 1024 + 4096) + 3 * 4096 * 14336)
    attention = 8 * 2 * 2 * 512 * 512 * 4096
    assert found.flops == pytest.approx(2 * 512 * weights + attention, rel=0.01)
    (line,) = before_training(found)
    assert line == "  `lit-unlearn analyse strays` runs 8 layers once for each row: 1.8 TFLOP for 512 tokens"


def test_the_line_says_what_a_row_takes() -> None:
    (line,) = before_training(RowForward(48, 3, 12_300_000_000))
    assert line.endswith("0.012 TFLOP for 48 tokens")
