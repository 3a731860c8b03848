"""States of one model put into another at some positions, after each layer in turn (activation patching)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.running.hooks import (
    Keys,
    captured_input,
    captured_keys,
    captured_output,
    hidden_states,
    patched_output,
)
from lit_unlearn.running.partial_forward import SharedPrefix, run_layers


class Decoder(NamedTuple):
    """A model, in eval mode and on the device where it runs, and its decoder layers."""

    model: PreTrainedModel
    layers: nn.ModuleList


class States(NamedTuple):
    """What a model's layers were given and returned, `[batch, seq, dim]` of each layer."""

    entered: list[Tensor]
    left: list[Tensor]
    example: Any
    """What the last layer returned."""
    outputs: Outputs
    """Of the whole model."""
    keys: Keys
    """What layers have left for those above them."""


def layer_states(decoder: Decoder, batch: Batch) -> States:
    """Runs a model on a batch and keeps the states before and after every layer.

    Args:
        decoder: the model.
        batch: the rows.
    """
    with ExitStack() as stack:
        entered = [stack.enter_context(captured_input(layer)) for layer in decoder.layers]
        left = [stack.enter_context(captured_output(layer)) for layer in decoder.layers]
        keys = stack.enter_context(captured_keys(decoder.layers[-1]))
        outputs, _ = run_layers(*decoder, batch, layer=len(decoder.layers) - 1, needs_logits=True, start=0)
    return States(
        [states for (states,) in entered], [hidden_states(output) for (output,) in left], left[-1][0], outputs, keys
    )


def patched_runs(
    decoder: Decoder, batch: Batch, own: States, *, mask: Tensor, source: Sequence[Tensor]
) -> Iterator[Outputs]:
    """What a model gives when, after each layer in turn, its states at some positions are another model's.

    Layers below the patched one do not run again.

    Args:
        decoder: the model that runs.
        batch: the rows.
        own: its own states on them, from `layer_states`.
        mask: bool `[batch, seq]`, where states are replaced.
        source: the other model's states after each layer, `[batch, seq, dim]`.
    """
    last = len(decoder.layers) - 1
    for layer, states in enumerate(source):
        # Keys of layers from here on are those of the patched run by the time that they are read.
        prefix = SharedPrefix(own.entered[layer], own.example, keys=own.keys) if layer else None
        with patched_output(decoder.layers[layer], mask, states):
            yield run_layers(*decoder, batch, layer=last, needs_logits=True, start=layer, prefix=prefix)[0]
