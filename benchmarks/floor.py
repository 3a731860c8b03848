"""The arithmetic that a step cannot do without, and the time it takes at the speed of matrix products here."""

from typing import NamedTuple

import torch
from transformers import MistralConfig

_TIMES = 20
"""Products of one call, so that it takes long enough to be timed."""


class Reads(NamedTuple):
    """What a method's losses read, which decides what has to run."""

    logits: bool
    frozen_forget: bool
    frozen_retain: bool = True
    preferred: bool = False
    """Preferred answers, as many rows of as many tokens as those of the forget stream, by the same models."""


class Operations(NamedTuple):
    """Floating-point operations of a step."""

    products: int
    """Of products with weights."""
    attention: int
    """Of products between states: scores, and what they weigh."""


def operations(config: MistralConfig, reads: Reads, *, rows: int, tokens: int, layer: int) -> Operations:
    """Floating-point operations of one step's matrix products and attention, at 2 per multiplication and addition.

    The updated model runs forward on all streams up to what is read. The frozen one differs from it from the first
    trained matrix on and runs from there. Backward goes down to that matrix: a product for each trained one, and for
    each activation on the way. Attention is causal: half of the scores. Nothing is computed twice.

    Args:
        config: of the model.
        reads: what the losses read.
        rows: of each stream.
        tokens: of each row.
        layer: steering layer l; the MLP outputs of layers l-2 to l are trained.
    """
    d, ff = config.hidden_size, config.intermediate_size
    n, last = rows * tokens, config.num_hidden_layers - 1 if reads.logits else layer
    head_dim = config.head_dim or d // config.num_attention_heads
    heads, shared = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    projections = 2 * n * d * (2 * heads + 2 * shared)
    mlp_in, mlp_out = 4 * n * d * ff, 2 * n * d * ff
    head = 2 * n * d * config.vocab_size if reads.logits else 0
    above = last - max(0, layer - 2)
    streams = 2 + reads.preferred
    frozen = reads.frozen_forget * (1 + reads.preferred) + reads.frozen_retain
    forward = projections + mlp_in + mlp_out
    updated = (last + 1) * forward + 3 * mlp_out + above * forward + 2 * head
    products = streams * updated + frozen * (mlp_out + above * forward + head)
    scores = 2 * n * tokens * heads  # two products of 2 · n · tokens · heads each, of which causality takes half
    attention = streams * (last + 1 + 2 * above) * scores + frozen * above * scores
    return Operations(products, attention)


class Products:
    """The model's own matrix products, to be timed beside the steps: of each stream's tokens with an MLP matrix.

    Args:
        config: of the model.
        rows: of each stream.
        tokens: of each row.
        dtype: of the weights.
        device: of the weights.
    """

    def __init__(
        self, config: MistralConfig, *, rows: int, tokens: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._states = torch.randn(rows * tokens, config.hidden_size, dtype=dtype, device=device)
        self._matrix = torch.randn(config.hidden_size, config.intermediate_size, dtype=dtype, device=device)
        self.operations = _TIMES * 2 * self._states.shape[0] * self._matrix.numel()
        """Of one call."""

    def __call__(self) -> None:
        """Makes some."""
        for _ in range(_TIMES):
            self._states @ self._matrix


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
