"""Tiny random models of the families that lit-unlearn promises to work with."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.tiny_world import write_model

LAYERS = 5
_COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
_GROUPED: dict[str, Any] = _COMMON | {"num_key_value_heads": 2}
_WITH_HEAD: dict[str, Any] = _GROUPED | {"head_dim": 8}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _GROUPED),
    "mistral": ("MistralConfig", _GROUPED | {"sliding_window": 8}),
    "qwen2": ("Qwen2Config", _GROUPED),
    "qwen3": ("Qwen3Config", _WITH_HEAD),
    "gemma2": ("Gemma2Config", _WITH_HEAD | {"sliding_window": 8}),
    "gemma3": ("Gemma3TextConfig", _WITH_HEAD | {"sliding_window": 8}),
    "phi3": ("Phi3Config", _GROUPED),
    "olmo2": ("Olmo2Config", _GROUPED),
    "gpt_neox": ("GPTNeoXConfig", _COMMON),
    "gpt2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 128, "initializer_range": 0.1},
    ),
}

QUICK = ("llama", "gemma3", "gpt2")
"""Those of the fast tests: rotary positions, norms and windows of another kind, transposed matrices."""

LAYER_LISTS = dict.fromkeys(FAMILIES, "model.layers") | {"gpt_neox": "gpt_neox.layers", "gpt2": "transformer.h"}
"""The name of each family's list of decoder layers."""


def each_family(*values: Any) -> list[Any]:
    """A test's cases: every family with these further values, of which `make test` runs the quick ones."""
    return [
        pytest.param(
            name, *values, marks=[] if name in QUICK else [pytest.mark.slow], id="-".join(map(str, (name, *values)))
        )
        for name in FAMILIES
    ]


def write_family(folder: Path, name: str, *, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a random model of a family with the demo's tokenizer; returns its folder."""
    config, options = FAMILIES[name]
    write_model(folder / name, getattr(transformers, config)(**options), dtype=dtype)
    return folder / name
