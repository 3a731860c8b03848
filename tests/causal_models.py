"""Small random models of every class that transformers has for causal language modelling."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from lit_unlearn.losses.contract import Batch
from tests.batches import padded, random_rows

CONFIGS: dict[str, type[PretrainedConfig]] = {config.__name__: config for config in MODEL_FOR_CAUSAL_LM_MAPPING}
LARGEST = 100_000_000
"""Parameters of a model that is still run."""

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
_CODED = ("encoder_attention_heads", "decoder_attention_heads")
_LATENT = ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "rotary_dim")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_SIZES: dict[str, Any] = (
    dict.fromkeys(("hidden_size", "d_model", "n_embd"), 32)
    | dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "encoder_ffn_dim", "decoder_ffn_dim"), 48)
    | dict.fromkeys(_LAYERS + _HEADS + _CODED + _EXPERTS, 4)
    | {"num_key_value_heads": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
    | {
        "max_position_embeddings": 128,
        "n_positions": 128,
        "vocab_size": 160,
        "vocab_size_per_layer_input": 160,
        "is_decoder": True,
    }
    | dict.fromkeys(_LATENT, 8)
    | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
)
_MAYBE_NONE = {"num_key_value_heads", "head_dim", "pad_token_id", "bos_token_id", "eos_token_id"}
_VARIANTS: list[tuple[str, ...]] = [
    (),
    _LATENT,
    ("head_dim",),
    (*_HEADS, *_CODED, "num_key_value_heads", "head_dim"),
    _LAYERS,
    (*_LAYERS, *_HEADS, "head_dim", "num_key_value_heads"),
    ("hidden_size", "d_model", *_HEADS, *_CODED, "head_dim", "num_key_value_heads"),
    tuple(name for name in _SIZES if name not in ("is_decoder", "num_hidden_layers")),
]
"""What is left as it is by default where a model does not build or run with all sizes small."""


def small_model(name: str) -> PreTrainedModel | str:
    """A random model in eval mode that runs on text, or why there is none.

    Args:
        name: of a configuration's class.
    """
    reasons = []
    for left in _VARIANTS:
        try:
            model = _built(small_config(CONFIGS[name], left))
            own_logits(model)
        except Exception as error:  # each family refuses in its own way
            reasons.append(f"{type(error).__name__}: {error}".splitlines()[0])
        else:
            return model
    return reasons[0]


def small_config(config: type[PretrainedConfig], left: tuple[str, ...] = ()) -> PretrainedConfig:
    """A configuration of few and small layers, with those of its parts.

    Args:
        config: its class.
        left: names of sizes that stay as they are by default.
    """
    default = config()
    sizes: dict[str, Any] = {
        name: value for name, value in _SIZES.items() if name not in left and _settable(default, name)
    }
    held = {name: getattr(default, name, None) for name in config.sub_configs}
    parts: dict[str, Any] = {
        name: small_config(type(part), left) for name, part in held.items() if isinstance(part, PretrainedConfig)
    }
    return config(**sizes, **parts)


def own_logits(model: PreTrainedModel) -> torch.Tensor:
    """What the model itself makes of `text_rows`."""
    batch = text_rows()
    with torch.no_grad():
        logits: torch.Tensor = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
        ).logits
    return logits


def text_rows() -> Batch:
    """Rows of tokens, padded to the right."""
    return padded(random_rows(3, seed=0), "right")


def _built(config: PretrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    size = sum(parameter.numel() for parameter in shape.parameters())
    if size > LARGEST:
        raise ValueError(f"{size} parameters are too many")
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return model.requires_grad_(False)


def _settable(config: PretrainedConfig, name: str) -> bool:
    """Whether a configuration has such a size, and one for all of its layers."""
    value = getattr(config, name, None)
    return type(value) in (int, bool) or (name in _MAYBE_NONE and name in vars(config))
