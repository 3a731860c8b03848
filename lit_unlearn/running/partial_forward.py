"""Running part of a causal language model: only the layers that are read."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import most_calls
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.lazy_logits import LazyLogits
from lit_unlearn.models.layers import decoder_of, trained_outside
from lit_unlearn.running.hooks import (
    Answer,
    Keys,
    Noise,
    answered,
    captured_input,
    captured_keys,
    captured_output,
    given_keys,
    hidden_states,
    noisy_output,
    recorded_start,
    replaced_input,
    returning,
)


def only_layers(layers: nn.ModuleList, first: int, last: int, *, like: Sequence[Any]) -> AbstractContextManager[None]:
    """Layers outside first..last (inclusive) return what they are given, at no cost.

    Args:
        layers: the decoder layers.
        first: index of the first layer that runs.
        last: index of the last layer that runs.
        like: holds, by the time a skipped layer is called, what a real layer returns: a tensor or a tuple.
    """
    skipped = [layer for index, layer in enumerate(layers) if not first <= index <= last]
    return answered([(layer, partial(_passed_on, like)) for layer in skipped])


class SharedPrefix(NamedTuple):
    """What a run leaves for a later one to start from."""

    hidden: Tensor
    """`[batch, seq, dim]`, what entered layer `start`."""
    example: Any
    """What layer `layer` returned."""
    within: Sequence[Answer] = ()
    """In layer `start`, what its parts returned before the first trained one was called."""
    keys: Keys = MappingProxyType({})
    """What the layers up to `start` have left for those above; most models' leave none."""


def run_layers(
    model: PreTrainedModel,
    layers: nn.ModuleList,
    batch: Batch,
    *,
    layer: int,
    needs_logits: bool,
    start: int,
    prefix: SharedPrefix | None = None,
    resumed: bool = False,
    noise: tuple[int, Noise] | None = None,
    lower: Sequence[int] = (),
    context: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Outputs, SharedPrefix]:
    """Runs as little of a causal language model as gives the outputs asked for.

    Layers above `layer` run only for logits, which are computed where a loss reads them; with a prefix, layers below
    `start` do not run. All of the model's own arithmetic (masks, positions, caps) stays the model's own.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: the rows.
        layer: index of the layer whose output is `Outputs.hidden`.
        needs_logits: run to the logits.
        start: index of a layer that runs: where the returned prefix ends and a given one is taken up.
        prefix: from an earlier run on the same batch with the same `start`; None runs from the embedding.
        resumed: the returned prefix is for a run of the frozen model, and holds what that need not compute again.
        noise: index of a layer, not below `start`, and the noise added to its output.
        lower: indices of layers, from `start` to below `layer`, whose outputs are `Outputs.lower`.
        context: what to be in while logits are computed.

    Returns:
        The outputs and the prefix.

    Raises:
        InputError: the model does not run each layer once, or its states are not `[batch, seq, dim]`.
    """
    last = len(layers) - 1 if needs_logits else layer
    with ExitStack() as stack:
        if noise is not None:
            stack.enter_context(noisy_output(layers[noise[0]], noise[1]))
        if prefix is not None:
            stack.enter_context(replaced_input(layers[start], prefix.hidden))
            stack.enter_context(given_keys(layers[start], prefix.keys))
            stack.enter_context(answered(prefix.within))
        entered = stack.enter_context(captured_input(layers[start]))
        keys = stack.enter_context(captured_keys(layers[start]))
        left = stack.enter_context(captured_output(layers[layer]))
        below = [stack.enter_context(captured_output(layers[index])) for index in lower]
        first, like = (0, left) if prefix is None else (start, [prefix.example])
        stack.enter_context(only_layers(layers, first, last, like=like))
        within = stack.enter_context(recorded_start(layers[start])) if resumed else []
        decoder = decoder_of(model, layers)
        result = decoder(**_inputs(decoder, batch), use_cache=False)
    logits = lazy_logits(model, layers, result, context) if needs_logits else None
    # Where `layer` lies below the prefix's end, what it returned is in the prefix.
    example = _only(left) if prefix is None or left else prefix.example
    states = tuple(hidden_states(_only(seen)) for seen in below)
    return Outputs(hidden_states(example), logits, lower=states), SharedPrefix(_only(entered), example, within, keys)


def lazy_logits(
    model: PreTrainedModel,
    layers: nn.ModuleList,
    result: Any,
    context: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> LazyLogits:
    """The logits of what the decoder returned, by the model's own forward (its head, scales, caps) without the decoder.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        result: what the decoder returned for some batch.
        context: what to be in while logits are computed.
    """

    def head(states: Tensor) -> Tensor:
        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
        with context(), answered([(decoder, returning(_with_hidden_states(result, states)))]):
            logits: Tensor = model(input_ids=ids, use_cache=False).logits
        return logits

    decoder, vocab = decoder_of(model, layers), model.config.get_text_config().vocab_size
    trained = trained_outside(model, layers)  # what a head may read are parameters outside the layers
    agreed = partial(most_calls, model.get_output_embeddings())
    return LazyLogits(head, hidden_states(result), vocab, trained=trained, agreed=agreed)


def logit_lens(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch) -> Iterator[Tensor]:
    """The logits `[batch, vocab]` at the last position as each layer's states give them, had the model ended there.

    Every layer runs once; final norm, head, scales and caps are the model's own.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: the rows, padded to the left.

    Raises:
        InputError: the model does not run each layer once.
    """
    decoder = decoder_of(model, layers)
    with ExitStack() as stack:
        seen = [stack.enter_context(captured_output(layer)) for layer in layers]
        decoder(**_inputs(decoder, batch), use_cache=False)
    ids = torch.zeros_like(batch["input_ids"][:, -1:])
    for output in map(_only, seen):
        states = hidden_states(output)[:, -1:]
        given = returning(states if isinstance(output, Tensor) else (states, *output[1:]))
        with answered([(layer, given) for layer in layers]):
            logits: Tensor = model(input_ids=ids, use_cache=False).logits
        yield logits[:, -1]


def positions(attention_mask: Tensor) -> Tensor:
    """The place of each real token in its row, whatever the padding side; 0 at padding to the left.

    Example:
        >>> positions(Tensor([[0, 0, 1, 1], [1, 1, 1, 0]]))
        tensor([[0, 0, 0, 1],
                [0, 1, 2, 2]])
    """
    return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)


def _only(seen: Sequence[Any]) -> Any:
    """What a layer was given or returned in the one time that it ran."""
    if len(seen) != 1:
        raise InputError(
            f"model.decoder_layers: a layer of this list ran {len(seen)} times in one forward on text, and only models "
            "that run each layer once are supported; name another list, or choose another model"
        )
    return seen[0]


def _passed_on(like: Sequence[Any], hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    """What a layer that does not run returns: what it is given, in the form of what a real one returns."""
    del args, kwargs
    example = like[0]
    return hidden if isinstance(example, Tensor) else (hidden, *example[1:])


def _inputs(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """What the model's forward is called with; models without absolute positions may take no position ids."""
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if "position_ids" in inspect.signature(model.forward).parameters:
        inputs["position_ids"] = positions(batch["attention_mask"])
    return inputs


def _with_hidden_states(result: Any, hidden: Tensor) -> Any:
    """What a decoder returned, with other hidden states."""
    if isinstance(result, tuple):
        return (hidden, *result[1:])
    result = copy.copy(result)
    result.last_hidden_state = hidden
    return result
