"""Tiny random models whose files, as on the hub, name or lay out weights differently from transformers in memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PretrainedConfig
from transformers.core_model_loading import Chunk, WeightConverter

from lit_unlearn.models.source import ModelSource
from tests.families import write_family
from tests.tiny_world import write_model

FUSED = "mlp.gate_up.weight"

_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
_EXPERTS: dict[str, Any] = _SIZES | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

LAYOUTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mixtral": (
        "MixtralConfig",
        _SIZES | {"num_local_experts": 4},
        "model.layers.1.block_sparse_moe.experts.2.w2.weight",
    ),
    "qwen2_moe": (
        "Qwen2MoeConfig",
        _EXPERTS | {"shared_expert_intermediate_size": 16},
        "model.layers.1.mlp.experts.2.down_proj.weight",
    ),
    "qwen3_moe": ("Qwen3MoeConfig", _EXPERTS | {"head_dim": 8}, "model.layers.1.mlp.experts.2.down_proj.weight"),
    "olmoe": (
        "OlmoeConfig",
        _SIZES | {"num_experts": 4, "num_experts_per_tok": 2},
        "model.layers.1.mlp.experts.2.down_proj.weight",
    ),
    "jamba": (
        "JambaConfig",
        _SIZES | {"num_experts": 4, "use_mamba_kernels": False},
        "model.layers.1.feed_forward.experts.2.down_proj.weight",
    ),
    "deepseek_v3": (
        "DeepseekV3Config",
        _SIZES
        | {
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
        "model.layers.1.mlp.experts.2.down_proj.weight",
    ),
    "gpt_oss": (
        "GptOssConfig",
        _SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 8},
        "model.layers.1.mlp.experts.down_proj",
    ),
    "granitemoe": (
        "GraniteMoeConfig",
        _SIZES | {"num_local_experts": 4, "num_experts_per_tok": 2},
        "model.layers.1.block_sparse_moe.output_linear.weight",
    ),
    "gemma3 with images": (
        "Gemma3Config",
        {
            "text_config": _SIZES | {"head_dim": 8, "sliding_window": 8},
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 1,
                "num_attention_heads": 4,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
        },
        "language_model.model.layers.1.mlp.down_proj.weight",
    ),
}
"""Each family's configuration, and the name in its files of a weight that is trained by default at layer 2."""


def write_layout(folder: Path, name: str) -> Path:
    """Writes a random model of a family with the demo's tokenizer, in the layout of the hub; returns its folder."""
    config, options, _ = LAYOUTS[name]
    made: PretrainedConfig = getattr(transformers, config)(**options)
    write_model(folder / name, made)
    return folder / name


def write_fused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    """A model whose files hold two matrices in one tensor."""
    source = write_family(folder, "llama")
    weights = load_file(source / "model.safetensors")
    for name in [name for name in weights if "gate_proj" in name]:
        both = [weights.pop(name), weights.pop(name.replace("gate_proj", "up_proj"))]
        weights[name.replace("mlp.gate_proj.weight", FUSED)] = torch.cat(both)
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    names = ["mlp.gate_proj.weight", "mlp.up_proj.weight"]
    converter = lambda *args: [WeightConverter(FUSED, list(names), operations=[Chunk(dim=0)])]  # noqa: E731
    monkeypatch.setattr("lit_unlearn.models.file_layout.get_model_conversion_mapping", converter)
    return ModelSource(str(source))
