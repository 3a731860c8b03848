"""Attention of prompts in one row, in which what several have in common at their beginning stands once."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_NAME = "lit_unlearn_shared"
_FAMILIES = (
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
)
"""As their configurations name them: all that a token sees of others, it sees by attention that can be replaced."""


_SDPA_REFUSES_CAPS = "softcap" in sdpa_attention_forward.__code__.co_consts
"""Transformers 5.18 leaves caps out there without a word, and takes `sdpa` for Gemma 2 by itself."""


class Part(NamedTuple):
    """A prompt in the row."""

    own: slice
    """Its last tokens, which no earlier prompt has; together the parts' own tokens are the row, in order."""
    seen: Tensor
    """`[length]`, indices in the row of all of its tokens, in order."""


def shares(config: PretrainedConfig) -> bool:
    """Whether a model's attention can be replaced: whether it is of a family for which that is tested.

    Args:
        config: the model's.

    Example:
        >>> from transformers import LlamaConfig, MambaConfig
        >>> shares(LlamaConfig()), shares(MambaConfig())
        (True, False)
    """
    return config.model_type in _FAMILIES


@contextmanager
def sharing(config: PretrainedConfig, parts: Sequence[Part]) -> Iterator[None]:
    """Lets each token of a row see the tokens of its own prompt, up to itself and within the layer's window.

    Attention is computed for each prompt by itself, so that no two prompts are multiplied with one another.

    Args:
        config: of the decoder that runs on the row meanwhile, once, with one row.
        parts: the prompts in the row.
    """
    own = config._attn_implementation
    longest = max((len(part.seen) for part in parts), default=0)
    shared = _Shared(parts, longest, {}, own != "sdpa" or _SDPA_REFUSES_CAPS)
    ALL_ATTENTION_FUNCTIONS[_NAME] = partial(_attention, shared)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = own
        del ALL_ATTENTION_FUNCTIONS[_NAME]


class _Shared(NamedTuple):
    parts: Sequence[Part]
    longest: int
    """Tokens of the longest prompt."""
    masks: dict[int, Tensor]
    """By window; each `[longest, longest]`, what is added to the scores of a prompt without a beginning of others."""
    caps: bool
    """Whether the model's own attention caps scores where its configuration asks for it."""

    def mask(self, shared: int, length: int, window: int, like: Tensor) -> Tensor | None:
        """What is added to the scores of a prompt's own tokens, `[own, length]`; None where that is plainly causal."""
        if not shared and window >= length:
            return None
        window = min(window, self.longest)
        if window not in self.masks:
            place = torch.arange(self.longest, device=like.device)
            before = place[:, None] - place
            unseen = (before < 0) | (before >= window)
            self.masks[window] = torch.zeros_like(before, dtype=like.dtype).masked_fill(unseen, -torch.inf)
        return self.masks[window][shared:length, :length]


def _attention(
    shared: _Shared,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each layer: query `[1, heads, seq, dim]`, key and value with as many or fewer heads.

    Returns:
        `[1, seq, heads, dim]`.
    """
    del module, attention_mask, kwargs
    asked = query[0].unflatten(0, (key.shape[1], -1))  # the heads that share a key stand below it
    found = []
    for own, seen in shared.parts:
        length, count = len(seen), own.stop - own.start
        mask = shared.mask(length - count, length, sliding_window or sys.maxsize, query)
        keys, values = (states[0][:, None, seen].expand(-1, asked.shape[1], -1, -1) for states in (key, value))
        found.append(_of_prompt(asked[:, :, own], keys, values, mask, scaling, softcap if shared.caps else None))
    return torch.cat(found, dim=-2).flatten(0, 1).transpose(0, 1)[None].contiguous(), None


def _of_prompt(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None, cap: float | None
) -> Tensor:
    """Attention `[heads of keys, heads of each, own, dim]` of one prompt."""
    if cap is None:
        return scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, scale=scaling)
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = cap * (scores / cap).tanh()
    if mask is None:
        unseen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(unseen, -torch.inf)
    else:
        scores = scores + mask
    return scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype) @ value
