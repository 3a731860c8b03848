"""Dropout in the updated model while it trains: what acts, and with which random numbers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lit_unlearn.errors import InputError
from lit_unlearn.forward import Setting
from lit_unlearn.lora import is_adapted

_NAMES = ("attention_dropout", "attn_dropout")
"""Where attention modules of transformers keep their rate, or the module that drops."""


def settings(layers: Iterable[nn.Module], rate: float) -> list[Setting]:
    """What is set in decoder layers while they drop out; nothing if nothing does.

    Args:
        layers: the decoder layers in which it acts.
        rate: share of the attention weights that is dropped; adapters have a rate of their own.

    Raises:
        InputError: the layers have no attention dropout.
    """
    modules = [module for layer in layers for module in layer.modules()]
    attention = [setting for module in modules for setting in _attention(module, rate)] if rate > 0 else []
    if rate > 0 and not attention:
        raise InputError(
            f"model.attention_dropout: no attention dropout is found in {type(modules[0]).__name__} (looked for "
            f"{' and '.join(_NAMES)}); set it to 0"
        )
    adapters = [dropout for module in modules if is_adapted(module) for dropout in module.lora_dropout.modules()]  # type: ignore[union-attr]
    return [*attention, *((module, "training", True) for module in adapters if isinstance(module, nn.Dropout))]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within this context torch draws from this seed; afterwards its generators are where they were.

    Args:
        seed: of what is drawn on the CPU and on the device.
        device: the model's.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.get_device_module(device).manual_seed(seed)
        yield


def _attention(module: nn.Module, rate: float) -> list[Setting]:
    """The settings that make an attention module, if this is one, drop out."""
    for name in _NAMES:
        value = getattr(module, name, None)
        if isinstance(value, nn.Dropout):
            return [(value, "p", rate), (value, "training", True), (module, "training", True)]
        if isinstance(value, float | int):
            return [(module, name, rate), (module, "training", True)]
    return []
