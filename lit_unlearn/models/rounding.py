"""Weights rounded as a quantised model holds them, and kept as floating-point numbers."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lit_unlearn.errors import InputError

NF4_LEVELS = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""The 16 levels of NormalFloat4: Dettmers et al. 2023, QLoRA, appendix E, as bitsandbytes has them."""


def round_integers(weight: Tensor, *, bits: int, group: int) -> Tensor:
    """Rounds to the nearest of 2^bits - 1 levels, symmetric about 0, with a scale for each group of inputs.

    Args:
        weight: `[..., inputs]`; the last group of a row may be shorter.
        bits: 2 or more.
        group: consecutive inputs with one scale, which is their largest absolute value.

    Example:
        >>> round_integers(torch.tensor([[1.0, 0.4, -3.0, 0.2]]), bits=2, group=2)
        tensor([[ 1.,  0., -3.,  0.]])
    """
    most = 2 ** (bits - 1) - 1
    padded = nn.functional.pad(weight.float(), (0, -weight.shape[-1] % group))
    groups = padded.unflatten(-1, (-1, group))
    scale = groups.abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / most
    rounded: Tensor = (groups / scale).round().clamp(-most, most) * scale
    flat: Tensor = rounded.flatten(-2)
    return flat[..., : weight.shape[-1]].to(weight.dtype)


def round_nf4(weight: Tensor, *, block: int = 64) -> Tensor:
    """Rounds to NormalFloat4: blocks of the flattened weight, each scaled by its largest absolute value.

    Differs from bitsandbytes' default in nothing but `bnb_4bit_use_double_quant`, which rounds the scales too and is
    off there as well. It is written here because bitsandbytes' own is not available on every processor.

    Args:
        weight: of any shape.
        block: consecutive values with one scale.

    Example:
        >>> round_nf4(torch.tensor([2.0, 0.1, -1.0, 0.35]), block=4)
        tensor([ 2.0000,  0.1592, -1.0501,  0.3219])
    """
    flat = weight.float().flatten()
    blocks = nn.functional.pad(flat, (0, -len(flat) % block)).unflatten(0, (-1, block))
    scale = blocks.abs().amax(dim=-1, keepdim=True)
    shares = blocks / scale.clamp(min=torch.finfo(torch.float32).tiny)
    levels = torch.tensor(NF4_LEVELS, device=weight.device)
    middles = (levels[1:] + levels[:-1]) / 2
    rounded: Tensor = levels[torch.bucketize(shares, middles)] * scale
    return rounded.flatten()[: len(flat)].reshape(weight.shape).to(weight.dtype)


def projections(layers: nn.ModuleList) -> Iterator[tuple[str, Tensor]]:
    """Names within the layers of their linear modules, and the weights, `[outputs, inputs]`, to be changed in place.

    Those are what quantised models round: embeddings, the output head and norms stay as they are.

    Raises:
        InputError: the layers hold weights of another form, such as experts in one tensor.
    """
    found = [
        (f"{name}.weight", module.weight.data.T if isinstance(module, Conv1D) else module.weight.data)
        for name, module in layers.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    ]
    matrices = sum(parameter.dim() > 1 for parameter in layers.parameters())
    if len(found) < matrices or not found:
        raise InputError(
            f"attack: {matrices - len(found)} matrices of the decoder layers are not those of linear modules, as "
            "experts in one tensor; leave out the attacks that round or prune weights, by --only"
        )
    yield from found
