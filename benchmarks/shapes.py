"""Models with random weights to measure on: Mistral's layout at any width, and published shapes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PretrainedConfig

WHOLE = 4096
"""The width of the 7B model."""
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "mistral-7b": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "rope_theta": 10000.0,
    },
    "llama-3-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rope_theta": 500000.0,
    },
    "small": {
        "vocab_size": 2000,
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 8192,
        "rope_theta": 10000.0,
    },
}
"""What the configurations of Mistral-7B-v0.1 and Llama-3-8B say; `small` is to try a command out."""


def configure(hidden: int, layers: int, vocabulary: int | None = None) -> MistralConfig:
    """Mistral-7B's proportions at another width: MLP and heads shrink with it.

    Args:
        hidden: width, a multiple of 128.
        layers: decoder layers.
        vocabulary: size of the vocabulary; None lets it shrink too.
    """
    heads = 32 if hidden >= WHOLE else hidden // 32
    return MistralConfig(
        vocab_size=vocabulary or 32000 * hidden // WHOLE,
        hidden_size=hidden,
        intermediate_size=hidden * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 4,
        head_dim=hidden // heads,
        max_position_embeddings=32768,
        sliding_window=None,
        tie_word_embeddings=False,
    )


def published(name: str, layers: int | None = None) -> PretrainedConfig:
    """A shape of `SHAPES`, in bf16.

    Args:
        name: of the shape.
        layers: number of its decoder layers; None has all.
    """
    sizes = dict(SHAPES[name])
    rope = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
    sizes["num_hidden_layers"] = layers or sizes["num_hidden_layers"]
    kind = MistralConfig if "sliding_window" in sizes else LlamaConfig
    return kind(**sizes, rope_parameters=rope, rms_norm_eps=1e-5, tie_word_embeddings=False, dtype="bfloat16")


def write_model(folder: Path, config: MistralConfig, dtype: torch.dtype, device: torch.device) -> None:
    """Writes a model with random weights, the same for everyone who reads it."""
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
