"""An adapter's folder, as PEFT and `ExportPretrained(adapter=True)` write it, merged into the model that it adapts."""

import json
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.lora import check_installed
from lit_unlearn.models.source import ADAPTER_CONFIG

_WEIGHTS = "adapter_model.safetensors"


def check_adapter(folder: str) -> None:
    """An adapter can be merged, as far as its files tell without the model.

    Raises:
        InputError: it cannot, or PEFT is not installed.
    """
    kind = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("peft_type")
    if kind != "LORA":
        raise InputError(
            f"model.pretrained: {folder!r} is an adapter of PEFT's type {kind!r}, and only LORA is merged here; merge "
            "it by PEFT, `AutoPeftModelForCausalLM.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER)`, "
            "and name FOLDER"
        )
    if not (Path(folder) / _WEIGHTS).is_file():
        raise InputError(f"model.pretrained: the adapter {folder!r} has no {_WEIGHTS}; save it again with PEFT")
    check_installed(f"model.pretrained: {folder!r} is an adapter, and")


def merge(model: PreTrainedModel, folder: str) -> None:
    """Merges an adapter into a model, in place and in the model's dtype.

    Args:
        model: the whole model that it adapts, on any device.
        folder: of the adapter.

    Raises:
        InputError: it is of another model.
    """
    import peft

    try:
        config = peft.PeftConfig.from_pretrained(folder)
        config.inference_mode = True
        adapted = peft.PeftModel(model, config)
        loaded = adapted.load_adapter(folder, "default", torch_device=str(model.device))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise _of_another_model(folder, " ".join(str(error).split())) from error
    wrong = [*loaded.missing_keys, *loaded.unexpected_keys]
    if wrong:
        raise _of_another_model(folder, f"{len(wrong)} weights are missing or belong to nothing, e.g. {wrong[0]}")
    cast(Any, adapted).merge_and_unload()


def _of_another_model(folder: str, reason: str) -> InputError:
    return InputError(
        f"model.pretrained: the adapter {folder!r} does not fit the model that its {ADAPTER_CONFIG} names ({reason}); "
        "write the model that it was trained on there as base_model_name_or_path"
    )
