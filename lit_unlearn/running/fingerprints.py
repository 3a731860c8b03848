"""Digests of all that decides what a model computes, by which results are found again."""

import hashlib
import json
import platform
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PretrainedConfig


def model_fingerprint(config: PretrainedConfig, tensors: Iterable[Tensor], precision: str) -> str:
    """A digest of weights and of how they are used.

    Args:
        config: the model's.
        tensors: its parameters and buffers, or those that matter; of sharded ones, what this process holds counts.
        precision: the Trainer's.
    """
    options = {name: value for name, value in config.to_dict().items() if name != "_name_or_path"}
    attention = str(config._attn_implementation)
    about = [json.dumps(options, default=str, sort_keys=True), attention, precision]
    return digest([*map(str.encode, about), *map(raw, tensors)])


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers."""
    return [*module.parameters(), *module.buffers()]


def arithmetic(device: torch.device) -> str:
    """What else decides the last bits of a result."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    threads = 0 if device.type == "cuda" else torch.get_num_threads()
    return f"{torch.__version__} {name} {threads} {torch.get_float32_matmul_precision()}"


def raw(tensor: Tensor) -> Any:
    """A tensor's bytes, of a sharded one those that this process holds."""
    tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def digest(parts: Iterable[Any]) -> str:
    """One digest of many byte strings; it depends on where one ends and the next begins.

    Example:
        >>> digest([b"ab", b"c"]) == digest([b"a", b"bc"])
        False
    """
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()
