"""Adapters of the tiny world's model, as PEFT writes them."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

ADAPTED = ["model.layers.2.mlp.down_proj", "model.layers.9.self_attn.q_proj"]
"""The modules that have one."""


def write_adapter(base: Path, folder: Path, **options: Any) -> Path:
    """Writes an adapter of a model whose values matter, without a tokenizer; returns its folder."""
    torch.manual_seed(0)
    given: dict[str, Any] = {"r": 4, "target_modules": ADAPTED, "task_type": "CAUSAL_LM", "init_lora_weights": False}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**given | options))
    model.save_pretrained(str(folder))
    return folder
