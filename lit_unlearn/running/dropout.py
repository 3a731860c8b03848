"""Dropout in the updated model while it trains: what acts, and with which random numbers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.lora import is_adapted
from lit_unlearn.running.hooks import Override, applied, captured_output
from lit_unlearn.running.partial_forward import SharedPrefix, run_layers

_NAMES = ("attention_dropout", "attn_dropout")
"""Attributes in which attention modules of transformers keep their rate, or their dropout module."""
_TOKENS = 16
"""Number of tokens on which attention dropout is tried."""


def overrides(layers: Iterable[nn.Module], rate: float) -> list[Override]:
    """The settings under which decoder layers apply dropout; none if none does.

    Args:
        layers: the decoder layers in which it acts.
        rate: share of the attention weights that is dropped; adapters have a rate of their own.

    Raises:
        InputError: the layers have no attention dropout.
    """
    modules = [module for layer in layers for module in layer.modules()]
    attention = [setting for module in modules for setting in _attention(module, rate)] if rate > 0 else []
    if rate > 0 and not attention:
        looked = f"(looked for {' and '.join(_NAMES)})"
        raise _refused(f"no attention dropout is found in {type(modules[0]).__name__} {looked}")
    adapters = [dropout for module in modules if is_adapted(module) for dropout in module.lora_dropout.modules()]  # type: ignore[union-attr]
    return [*attention, *((module, "training", True) for module in adapters if isinstance(module, nn.Dropout))]


@torch.no_grad()
def check_acts(model: PreTrainedModel, layers: nn.ModuleList, acting: range, device: torch.device) -> None:
    """Attention dropout acts, and drops nothing but attention weights: tried on a few tokens in the first such layer.

    A model may have a rate that its attention does not read. Under FSDP2 every process must call it.

    Args:
        model: a causal language model in eval mode.
        layers: its decoder layers.
        acting: indices of those in which attention dropout acts.
        device: where the model runs.

    Raises:
        InputError: what the attention module computes does not change with its rate, or changes at a rate of 0.
    """
    index, module = next(
        (index, module) for index in acting for module in layers[index].modules() if _attention(module, 0.0)
    )
    batch = _tokens(device)
    run = partial(run_layers, model, layers, batch, layer=index, needs_logits=False, start=index)
    _, prefix = run()
    plain, half, none = (
        _tried(run, prefix, module, drops, device) for drops in ((), _attention(module, 0.5), _attention(module, 0.0))
    )
    name = type(module).__name__
    if torch.equal(half, plain):
        raise _refused(f"{name} has a rate that its forward does not read, so nothing would be dropped")
    if not torch.equal(none, plain):
        raise _refused(f"{name} still drops something where its own rate is 0, which is more than was asked for")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within this context torch draws from this seed; afterwards its generators are in their former state.

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


def _attention(module: nn.Module, rate: float) -> list[Override]:
    """The settings that make an attention module, if this is one, drop attention weights and nothing else."""
    for name in _NAMES:
        value = getattr(module, name, None)
        if isinstance(value, nn.Dropout):
            return [(value, "p", rate), (value, "training", True), *_training(module, name)]
        if isinstance(value, float | int):
            return [(module, name, rate), *_training(module, name)]
    return []


def _training(module: nn.Module, name: str) -> list[Override]:
    """The settings that make an attention module train, with other rates than `name`, e.g. `residual_dropout`, at 0."""
    rates = [other for other, value in vars(module).items() if "drop" in other and isinstance(value, float)]
    return [(module, "training", True), *((module, other, 0.0) for other in rates if other != name)]


def _tokens(device: torch.device) -> Batch:
    """One row of tokens that every vocabulary has."""
    ids = torch.arange(_TOKENS, device=device)[None]
    ones, zero = torch.ones_like(ids), ids[:, 0]
    return {"input_ids": ids, "attention_mask": ones, "labels": ids, "loss_mask": ones, "topic": zero, "row": zero}


def _tried(
    run: Callable[..., object], prefix: SharedPrefix, module: nn.Module, drops: Sequence[Override], device: torch.device
) -> Tensor:
    """What the attention module returns within a run, with these settings."""
    try:
        with seeded(0, device), applied(drops), captured_output(module) as seen:
            run(prefix=prefix)
    except ValueError as error:  # raised by attention implementations without dropout
        raise _refused(f"{type(module).__name__} refuses it ({' '.join(str(error).split())})") from error
    output: Tensor = seen[0] if isinstance(seen[0], Tensor) else seen[0][0]
    return output


def _refused(reason: str) -> InputError:
    return InputError(f"model.attention_dropout: {reason}; set it to 0")
