"""Models with random weights to measure on: Mistral's layout at any width."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, MistralConfig

WHOLE = 4096
"""The width of the 7B model."""


def configure(hidden: int, layers: int) -> MistralConfig:
    """Mistral-7B's proportions at another width: MLP, heads and vocabulary shrink with it.

    Args:
        hidden: width, a multiple of 128.
        layers: decoder layers.
    """
    heads = 32 if hidden >= WHOLE else hidden // 32
    return MistralConfig(
        vocab_size=32000 * hidden // WHOLE,
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


def write_model(folder: Path, config: MistralConfig, dtype: torch.dtype, device: torch.device) -> None:
    """Writes a model with random weights, the same for everyone who reads it."""
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
