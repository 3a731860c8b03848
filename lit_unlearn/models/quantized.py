"""Quantised models, which are refused: what is trained and exported here are plain floating-point weights."""

from typing import Any

from transformers import PretrainedConfig

from lit_unlearn.errors import InputError

_DEQUANTISED = {"fp8": "FineGrainedFP8Config", "mxfp4": "Mxfp4Config"}
"""Classes of transformers with which a model of this kind is loaded as bf16, on any device."""


def check_not_quantised(config: PretrainedConfig, pretrained: str) -> None:
    """A model's files hold its weights as they are, not as codes with scales.

    What transformers makes of quantised files depends on the device and on what is installed: without a GPU it turns
    fp8 and mxfp4 into bf16 whatever dtype is asked for; with one it keeps codes that no gradient reaches.

    Args:
        config: the model's.
        pretrained: hub name or folder, for the error.

    Raises:
        InputError: it is quantised; the message has the remedy.
    """
    method = quantisation(config)
    if method is None:
        return
    remedy = "set model.pretrained to the model that it was quantised from, and quantise the export again"
    if method in _DEQUANTISED:
        load = (
            f"AutoModelForCausalLM.from_pretrained('{pretrained}', "
            f"quantization_config={_DEQUANTISED[method]}(dequantize=True), dtype='bfloat16')"
        )
        remedy += (
            '; or write it as bf16 once, python -c "from transformers import *; '
            f"{load}.save_pretrained('FOLDER', save_original_format=False)\", and its tokenizer beside it"
        )
    raise InputError(
        f"model.pretrained: {pretrained!r} is quantised ({method}), and here plain floating-point weights are needed; "
        f"{remedy}"
    )


def quantisation(config: PretrainedConfig) -> str | None:
    """What a model's files are quantised by, in transformers' words; None if they are not.

    Example:
        >>> quantisation(PretrainedConfig(quantization_config={"quant_method": "gptq", "bits": 4}))
        'gptq'
        >>> quantisation(PretrainedConfig())
    """
    for one in (config, config.get_text_config()):
        found: Any = getattr(one, "quantization_config", None)
        if found:
            options = found if isinstance(found, dict) else found.to_dict()
            return str(options.get("quant_method") or "bitsandbytes")  # older files of the latter do not say
    return None
