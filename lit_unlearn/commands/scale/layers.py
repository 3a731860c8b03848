"""How large hidden states are after each layer of a model, and which layer to steer."""

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch
from lit_unlearn.running.hooks import captured_output, hidden_states
from lit_unlearn.running.partial_forward import run_layers

_AFTER_MLP = re.compile(r"post_(feedforward|feed_forward|mlp|ffn)_(layer)?norm")
"""Names in transformers of a norm between an MLP and the residual stream."""
SINK = 10.0
"""The first token is an attention sink where its norm is more than this many times that of the others."""


class LayerStates(NamedTuple):
    """Hidden states after one layer, over some rows."""

    norm: float
    """Mean norm, each row's first token left out."""
    first_norm: float
    """Mean norm of the first tokens."""
    first_share: float
    """Share of all squares that the first tokens hold."""
    largest: float
    """Share of the squares, first tokens left out, that the largest dimension holds."""
    rms: tuple[float, ...]
    """Root mean square of each dimension, first tokens left out."""
    bound: tuple[float, ...] | None
    """What the layer's MLP can add to each dimension, root mean square: the weight of a norm that follows its output
    projection, as in Gemma 2 and 3 and OLMo 2. None where nothing bounds it."""

    @property
    def sink(self) -> bool:
        """Whether the first token is an attention sink."""
        return self.first_norm > SINK * self.norm

    @property
    def reach(self) -> float | None:
        """Root mean square over dimensions of `bound` in those of the states; None where nothing bounds it."""
        if self.bound is None:
            return None
        shares = torch.tensor(self.bound) / torch.tensor(self.rms).clamp(min=1e-12)
        return float(shares.square().mean().sqrt())


@torch.inference_mode()
def measure_layers(model: PreTrainedModel, layers: nn.ModuleList, batches: Iterable[Batch]) -> list[LayerStates]:
    """The hidden states after every layer.

    Args:
        model: in eval mode.
        layers: its decoder layers.
        batches: rows, on the model's device.
    """
    sums: list[list[Tensor]] = [[] for _ in layers]
    bounds: list[Tensor | None] = []
    for batch in batches:
        outputs = _outputs(model, layers, batch)
        real = batch["attention_mask"].bool()
        others = functional.without_first(batch["attention_mask"], batch["attention_mask"]).bool()
        for place, hidden in enumerate(outputs):
            sums[place].append(_sums(hidden, first=real & ~others, others=others))
        bounds = bounds or [_bound(layer, hidden.shape[-1]) for layer, hidden in zip(layers, outputs, strict=True)]
    return [_states(torch.stack(own).sum(dim=0), bound) for own, bound in zip(sums, bounds, strict=True)]


def candidates(count: int) -> range:
    """Indices of layers at a quarter to a third of the depth, where published recipes steer.

    Example:
        >>> candidates(32), candidates(30), candidates(7), candidates(2)
        (range(8, 11), range(7, 11), range(2, 3), range(1, 2))
    """
    first = min(max(2, count // 4), count - 1)
    return range(first, max(first, count // 3) + 1)


def chosen_layer(states: Sequence[LayerStates]) -> int:
    """The middle one of the candidates without an attention sink; where all have one, that with the smallest.

    Example:
        >>> plain, sink = (LayerStates(1.0, first, 0.5, 0.1, (1.0,), None) for first in (2.0, 99.0))
        >>> chosen_layer([plain] * 9), chosen_layer([plain] * 9 + [sink] * 23), chosen_layer([sink] * 16)
        (3, 8, 4)
    """
    places = list(candidates(len(states)))
    free = [place for place in places if not states[place].sink]
    if free:
        return free[len(free) // 2]
    return min(places, key=lambda place: states[place].first_norm / states[place].norm)


def _outputs(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch) -> list[Tensor]:
    with ExitStack() as stack:
        seen = [stack.enter_context(captured_output(layer)) for layer in layers]
        run_layers(model, layers, batch, layer=len(layers) - 1, needs_logits=False, start=0)
    return [hidden_states(outputs[0]) for outputs in seen]


def _sums(hidden: Tensor, *, first: Tensor, others: Tensor) -> Tensor:
    """Sums over tokens, float64 on the CPU: norms, counts and squares of both kinds, squares of each dimension."""
    kinds = [hidden[first].double(), hidden[others].double()]
    numbers = [value for kind in kinds for value in (kind.norm(dim=-1).sum(), kind.square().sum())]
    counts = [torch.tensor(float(len(kind)), dtype=torch.float64) for kind in kinds]
    return torch.cat([torch.stack([one.cpu() for one in (*numbers, *counts)]), kinds[1].square().sum(dim=0).cpu()])


def _states(sums: Tensor, bound: Tensor | None) -> LayerStates:
    first_norm, first_squares, norm, squares, firsts, others = sums[:6].tolist()
    dimensions = sums[6:]
    return LayerStates(
        norm / others,
        first_norm / firsts,
        first_squares / (first_squares + squares),
        float(dimensions.max() / dimensions.sum()),
        tuple((dimensions / others).sqrt().tolist()),
        None if bound is None else tuple(bound.tolist()),
    )


def _bound(layer: nn.Module, dim: int) -> Tensor | None:
    """What a norm after the MLP multiplies each dimension by, `[dim]`; None without one."""
    norm = next((child for name, child in layer.named_children() if _AFTER_MLP.fullmatch(name)), None)
    if norm is None:
        return None
    weight = next(norm.parameters())
    signs = torch.ones(dim, device=weight.device, dtype=weight.dtype)
    signs[::2] = -1  # of mean 0 and root mean square 1
    return cast(Tensor, norm(signs) / signs).abs().double().cpu()
