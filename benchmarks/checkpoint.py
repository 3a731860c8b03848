"""A checkpoint of random bf16 weights in a given shape, written file by file."""

import json
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor
from transformers import PretrainedConfig
from transformers.utils import CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME

from benchmarks.generated import tokenizer
from lit_unlearn.models.loading import load_config, without_weights
from lit_unlearn.models.source import ModelSource

_FILE = 2 * 2**30
"""Bytes of a file of weights, at most, and of what is in memory at once."""
_NAMES = "model{suffix}.safetensors"
_SIZES = ("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_key_value_heads")


def write_checkpoint(folder: Path, config: PretrainedConfig, device: torch.device, *, most: int = _FILE) -> None:
    """Writes a model and a tokenizer; the configuration last, so that a folder that has one is whole.

    Args:
        folder: where to write; it is made.
        config: of the model, whose weights are not tied.
        device: where random numbers are drawn.
        most: bytes of a file of weights, at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[str, Tensor] = dict(without_weights(config, torch.bfloat16, None).named_parameters())
    files = split_torch_state_dict_into_shards(weights, filename_pattern=_NAMES, max_shard_size=most)
    for number, (file, names) in enumerate(files.filename_to_tensors.items()):
        source = torch.Generator(device).manual_seed(number)
        values = {name: _values(weights[name], source, config.initializer_range) for name in names}
        save_file(values, folder / file, metadata={"format": "pt"})
    torch.cuda.empty_cache()  # or what is measured, in other processes, would lack it
    if files.is_sharded:
        index = {"metadata": files.metadata, "weight_map": files.tensor_to_filename}
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
    tokenizer().save_pretrained(folder)
    config.save_pretrained(folder)


def holds(folder: Path, config: PretrainedConfig) -> bool:
    """Whether a folder holds a checkpoint.

    Raises:
        SystemExit: it is of another shape.
    """
    if not (folder / CONFIG_NAME).is_file():
        return False
    there, wanted = load_config(ModelSource(str(folder))).to_dict(), config.to_dict()
    for name in _SIZES:
        if there.get(name) != wanted[name]:
            raise SystemExit(
                f"--folder: the model in {folder} has {name} {there.get(name)}, not {wanted[name]}; give another "
                "folder, or the --shape and --layers of this one"
            )
    return True


def _values(weight: Tensor, source: torch.Generator, spread: float) -> Tensor:
    """Ones for what scales, else random numbers around 0."""
    values = torch.ones(weight.shape, dtype=weight.dtype, device=source.device)
    return (values if weight.dim() == 1 else values.normal_(0.0, spread, generator=source)).cpu()
