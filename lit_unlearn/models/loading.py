"""Load a causal language model: its configuration, its weights, or its shape alone."""

from contextlib import suppress
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.utils.peft_utils import find_adapter_config_file

from lit_unlearn.data.hub import check_model_reachable
from lit_unlearn.errors import InputError
from lit_unlearn.models.adapter import check_adapter, merge
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.gguf import REMEDY, holds_gguf
from lit_unlearn.models.quantized import check_not_quantised
from lit_unlearn.models.source import ModelSource
from lit_unlearn.runs.waiting import announced

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def load_config(source: ModelSource) -> PretrainedConfig:
    """The configuration of a model that can be trained and exported, read before its weights.

    Raises:
        InputError: as `read_config`, or the model is quantised.
    """
    config = read_config(source)
    check_not_quantised(config, source.pretrained)
    return config


def read_config(source: ModelSource) -> PretrainedConfig:
    """The configuration of any model.

    Raises:
        InputError: there is no such folder or hub model, it cannot be read, or an adapter of it cannot be merged.
    """
    if source.adapter is not None:
        check_adapter(source.adapter)
    check_model_reachable(f"model.pretrained: {source.pretrained!r}", source.pretrained, source.revision)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            source.pretrained, revision=source.revision, trust_remote_code=source.trust_remote_code
        )
    except (OSError, ValueError, TypeError, ImportError, StrictDataclassError) as error:
        raise _other_kind(source) or _unloadable(_named(source), error) from error
    return config


def load_model(source: ModelSource, dtype: torch.dtype, *, part: FirstLayers | None = None) -> PreTrainedModel:
    """A causal language model from safetensors, in eval mode, with nothing trainable.

    An adapter is merged into the whole model before layers are left out.

    Args:
        source: where it comes from.
        dtype: of all its weights.
        part: what is loaded; None is the whole model.

    Raises:
        InputError: there is no such model, or it cannot be loaded.
    """
    loader = cast(Any, AutoModelForCausalLM) if part is None or source.adapter is not None else part
    try:
        with announced(f"loading {source.given}"):
            model, loaded = loader.from_pretrained(
                source.pretrained,
                revision=source.revision,
                attn_implementation=source.attn_implementation,
                trust_remote_code=source.trust_remote_code,
                dtype=dtype,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # refused below, by name
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _unloadable(source.pretrained, error, source.attn_implementation) from error
    _check_complete(source.pretrained, loaded)
    assert isinstance(model, PreTrainedModel)
    if source.adapter is not None:
        merge(model, source.adapter)
        if part is not None:
            part.leave_out(model)
    check_finite(source.given, model)
    model.eval()
    return model.requires_grad_(False)


def check_finite(pretrained: str, model: nn.Module) -> None:
    """No weight of a loaded model is NaN or infinite: a pass over them, short beside loading.

    Args:
        pretrained: hub name or folder, for the error.
        model: on any device.

    Raises:
        InputError: one is.
    """
    for name, parameter in model.named_parameters():
        check_finite_weight(pretrained, name, parameter)


def check_finite_weight(pretrained: str, name: str, weight: torch.Tensor) -> None:
    """As `check_finite`, of one weight."""
    looked_at = weight.numel() and weight.dtype in _FLOATS  # quantised ones know neither
    if looked_at and not torch.stack(weight.aminmax()).isfinite().all():
        raise InputError(
            f"model.pretrained: {name} of {pretrained!r} has values that are NaN or infinite, of which nothing could "
            "be learned; take a checkpoint that is whole, or, where they are too large for float16, another "
            "trainer.precision"
        )


def without_weights(
    config: PretrainedConfig, dtype: torch.dtype, attn_implementation: str | None, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A causal language model of this configuration on the meta device, else as `load_model` returns it.

    Flash attention counts as torch's own, which keeps the same.

    Raises:
        InputError: the configuration is not that of a causal language model.
    """
    attention = "eager" if attn_implementation == "eager" else None
    options = {"dtype": dtype, "attn_implementation": attention, "trust_remote_code": trust_remote_code}
    try:
        with torch.device("meta"):
            model = cast(Any, AutoModelForCausalLM).from_config(config, **options)
    except Exception as error:  # the model's class says in its own ways that it cannot be of this configuration
        raise _unloadable(str(config.name_or_path), error, attn_implementation) from error
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model.requires_grad_(False)


def without_values(source: ModelSource, dtype: torch.dtype, *, part: FirstLayers | None = None) -> PreTrainedModel:
    """As `load_model` returns it, but that nothing has written its weights: they take no memory before that.

    Buffers have their values.

    Raises:
        InputError: the configuration cannot be read, or is not that of a causal language model.
    """
    attention = source.attn_implementation
    options = {"dtype": dtype, "attn_implementation": attention, "trust_remote_code": source.trust_remote_code}
    config = load_config(source)
    try:
        with no_init_weights():
            model = cast(Any, AutoModelForCausalLM).from_config(config, **options)
    except Exception as error:  # as in `without_weights`
        raise _unloadable(str(config.name_or_path), error, attention) from error
    assert isinstance(model, PreTrainedModel)
    model.tie_weights()
    if part is not None:
        part.leave_out(model)
    model.eval()
    return model.requires_grad_(False)


def device_alone(*args: Any, **kwargs: Any) -> torch.device | None:
    """The device among the arguments of `Module.to`, if any: a loaded model keeps its dtypes.

    Under `bf16-true` Lightning casts the whole module, which would round the rotary frequencies, float32 in every model
    of transformers.
    """
    device: torch.device | None = torch._C._nn._parse_to(*args, **kwargs)[0]
    return device


def _check_complete(pretrained: str, loaded: dict[str, Any]) -> None:
    """Every weight that the configuration asks for is there, in its shape."""
    remedy = "give a folder whose configuration and safetensors belong together"
    if loaded["missing_keys"]:
        missing = sorted(loaded["missing_keys"])
        raise InputError(
            f"model.pretrained: {pretrained!r} lacks {len(missing)} weights that its config.json asks for, e.g. "
            f"{missing[0]}; {remedy}"
        )
    if loaded["mismatched_keys"]:
        name, stored, wanted = min(loaded["mismatched_keys"])
        raise InputError(
            f"model.pretrained: {pretrained!r} holds {name} of shape {list(stored)}, its config.json asks for "
            f"{list(wanted)}; {remedy}"
        )


def _other_kind(source: ModelSource) -> InputError | None:
    """What to say of a folder or hub repository without a configuration that holds something known."""
    name = source.pretrained
    if holds_gguf(name):
        return InputError(f"model.pretrained: {name!r} holds a GGUF file and no config.json; {REMEDY}")
    with suppress(OSError, ValueError):  # there is no such repository, or no such name
        if find_adapter_config_file(name, revision=source.revision) is not None:
            return InputError(
                f"model.pretrained: {name!r} is an adapter on the hub; fetch it, `hf download {name} --local-dir "
                "FOLDER`, and name FOLDER"
            )
    return None


def _named(source: ModelSource) -> str:
    """The model, and the adapter that names it, for errors."""
    if source.adapter is None:
        return source.pretrained
    return f"{source.pretrained}, which the adapter {source.adapter} names,"


def _unloadable(pretrained: str, error: Exception, attn_implementation: str | None = None) -> InputError:
    text = str(error).strip() or type(error).__name__
    if attn_implementation is not None and (isinstance(error, ImportError) or "attn_implementation" in text):
        reason = text.splitlines()[0]
        return InputError(f"model.attn_implementation: {attn_implementation!r} cannot be used ({reason})")
    text = text if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__}: {text}"
    remedy = (
        "set model.trust_remote_code to true once you have read its code"
        if "trust_remote_code" in text
        else "give a folder with config.json and safetensors, or the name of a hub model that this machine can reach"
    )
    return InputError(f"model.pretrained: {pretrained!r} cannot be loaded ({text.splitlines()[0]}); {remedy}")
