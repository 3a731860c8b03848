"""`run.json`: beside `config.yaml`, what else decides a run's numbers."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities import rank_zero_warn

from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole

_PACKAGES = (
    *("lit-unlearn", "torch", "lightning", "transformers", "tokenizers", "datasets", "safetensors", "torchmetrics"),
    *("numpy", "jsonargparse", "peft", "lm_eval"),
)


def write_record(trainer: L.Trainer, about: Mapping[str, Any]) -> None:
    """Writes it into the run's folder; where a run is resumed, warns of what has changed since it began.

    Args:
        trainer: of the run.
        about: what the record says of model and data.
    """
    path = Path(trainer.default_root_dir) / layout.RECORD
    found = {**_environment(trainer), **about}
    if not path.exists():
        write_whole(path, json.dumps(found, indent=1))
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{name} ({before.get(name)}, now {value})" for name, value in found.items() if before.get(name) != value
    ]
    if changed:
        rank_zero_warn(
            f"the run resumes with what differs from when it began, perhaps with other bits: {'; '.join(changed)}"
        )


def add(trainer: L.Trainer, about: Mapping[str, Any]) -> None:
    """Adds to the record what was not known when it was written; a resumed run has it already."""
    path = Path(trainer.default_root_dir) / layout.RECORD
    found = json.loads(path.read_text(encoding="utf-8"))
    if not about.keys() <= found.keys():
        write_whole(path, json.dumps({**found, **about}, indent=1))


def _environment(trainer: L.Trainer) -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "processor": platform.machine(),
        "device": _device(trainer),
        "processes": trainer.world_size,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device(trainer: L.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
