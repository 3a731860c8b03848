import math

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lit_unlearn.errors import InputError
from lit_unlearn.models.rounding import NF4_LEVELS, projections, round_integers, round_nf4


def quantile(share: float) -> float:
    """Of the standard normal distribution."""
    return math.sqrt(2) * float(torch.special.erfinv(torch.tensor(2 * share - 1, dtype=torch.float64)))


def test_nf4_levels_are_the_published_quantiles() -> None:
    offset = 0.9677083  # QLoRA's, of bitsandbytes' create_normal_map
    positive = [quantile(share) for share in torch.linspace(offset, 0.5, 9).tolist()[:-1]]
    negative = [-quantile(share) for share in torch.linspace(offset, 0.5, 8).tolist()[:-1]]
    levels = sorted([*positive, 0.0, *negative])
    assert torch.allclose(torch.tensor(NF4_LEVELS), torch.tensor(levels) / max(levels), atol=2e-6)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_integers_equal_a_loop(bits: int) -> None:
    weight = torch.randn(3, 37, generator=torch.Generator().manual_seed(bits))
    expected = weight.clone()
    most = 2 ** (bits - 1) - 1
    for row in expected:
        for start in range(0, 37, 8):
            part = row[start : start + 8]
            scale = float(part.abs().max()) / most
            row[start : start + 8] = torch.tensor([round(float(value) / scale) * scale for value in part])
    assert torch.allclose(round_integers(weight, bits=bits, group=8), expected, atol=1e-6)


def test_nf4_takes_the_nearest_level_of_each_block() -> None:
    weight = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    rounded = round_nf4(weight, block=64).flatten()
    for start in range(0, 250, 64):
        part = weight.flatten()[start : start + 64]
        levels = torch.tensor(NF4_LEVELS) * part.abs().max()
        nearest = levels[(part[:, None] - levels).abs().argmin(dim=1)]
        assert torch.allclose(rounded[start : start + 64], nearest)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_zeros_stay_zeros_and_dtypes_stay(dtype: torch.dtype) -> None:
    weight = torch.zeros(2, 8, dtype=dtype)
    for rounded in (round_integers(weight, bits=4, group=4), round_nf4(weight)):
        assert rounded.dtype == dtype
        assert torch.equal(rounded, weight)


def test_projections_are_changed_in_place_with_inputs_last() -> None:
    layers = nn.ModuleList([nn.ModuleDict({"plain": nn.Linear(4, 3, bias=True), "turned": Conv1D(5, 2)})])
    found = dict(projections(layers))
    assert {name: list(weight.shape) for name, weight in found.items()} == {
        "0.plain.weight": [3, 4],
        "0.turned.weight": [5, 2],
    }
    found["0.turned.weight"].zero_()
    assert not layers[0]["turned"].weight.any()  # type: ignore[index]


def test_experts_in_one_tensor_are_refused() -> None:
    layer = nn.Linear(2, 2)
    layer.experts = nn.Parameter(torch.ones(3, 2, 2))
    with pytest.raises(InputError, match="1 matrices of the decoder layers are not those of linear modules"):
        list(projections(nn.ModuleList([layer])))
