"""Attention that starts with what choosing an option takes, so that letters are bound to options early.

One head of the first layer looks two tokens back: from the first word of an option ("A", ".", word) to its letter. Two
heads of late layers look for the option that holds the same word as the current state and bring its letter back.
Training is free to change all of it. That it is necessary has not been shown.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

_CONSTANT = 0.3  # the value of dimension 0 of every embedding, for queries that do not depend on the word
_QUIET = 0.1  # at first, layers add little to the embeddings, so that late heads still find the words in the states
_LOOK_BACK = 2.0
_FAST = 0.3  # radians per token: dimensions that turn faster tell neighbours apart
_MATCH = 1.7
_SLOW = 0.02  # radians per token: dimensions that turn slower hardly know positions
_WRITE = 0.1


def seed_heads(model: LlamaForCausalLM, *, matching: Sequence[int], seed: int) -> None:
    """Sets the embeddings, one head of layer 0, and two heads of each of the layers `matching`.

    Args:
        model: freshly initialised, without grouped key-value heads.
        matching: indices of the layers whose heads look for the same word.
        seed: seed of the random directions.
    """
    generator = torch.Generator().manual_seed(seed)
    dim, width = model.config.hidden_size, model.config.hidden_size // model.config.num_attention_heads
    directions = _orthogonal(2 * width, dim, generator)
    word, letter = directions[:width], directions[width:]
    angles = 10000.0 ** (-torch.arange(width // 2) * 2 / width)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        assert isinstance(embedding, Tensor)
        embedding.copy_(0.05 * torch.randn(embedding.shape, generator=generator))
        embedding[:, 0] = _CONSTANT
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(_QUIET)
            layer.mlp.down_proj.weight.mul_(_QUIET)
        _look_two_back(model.model.layers[0].self_attn, angles, word, letter)
        for index in matching:
            for head in range(2):
                same = _same_word(angles, _orthogonal(width, dim, generator))
                rows = slice(head * width, (head + 1) * width)
                _set_head(model.model.layers[index].self_attn, rows, same, same, letter, word)


def _look_two_back(attention: nn.Module, angles: Tensor, word: Tensor, letter: Tensor) -> None:
    """Head 0: queries and keys come from the constant alone, and rotation makes them agree at a distance of two."""
    query, key = torch.zeros_like(word), torch.zeros_like(word)
    half = len(angles)
    strength = _LOOK_BACK * (angles > _FAST)
    query[:half, 0] = strength
    key[:half, 0] = strength * torch.cos(2 * angles)
    key[half:, 0] = strength * torch.sin(2 * angles)
    _set_head(attention, slice(0, 2 * half), query, key, word, letter)


def _same_word(angles: Tensor, directions: Tensor) -> Tensor:
    """Queries, and keys alike, `[width, dim]` that agree for equal states at any distance."""
    slow = (angles < _SLOW).repeat(2)
    return _MATCH * directions * slow[:, None]


def _set_head(attention: nn.Module, rows: slice, query: Tensor, key: Tensor, read: Tensor, write: Tensor) -> None:
    """One head: `query`, `key`, what it reads and where it writes it, `[width, dim]` each."""
    for name, value in (("q_proj", query), ("k_proj", key), ("v_proj", read)):
        attention.get_submodule(name).get_parameter("weight")[rows] = value
    attention.get_submodule("o_proj").get_parameter("weight")[:, rows] = _WRITE * write.T


def _orthogonal(rows: int, dim: int, generator: torch.Generator) -> Tensor:
    """Orthonormal rows `[rows, dim]` that do not read dimension 0."""
    square = torch.linalg.qr(torch.randn(dim - 1, dim - 1, generator=generator))[0]
    return nn.functional.pad(square[:rows], (1, 0))
