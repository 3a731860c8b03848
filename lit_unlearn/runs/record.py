"""`run.json`: beside `config.yaml`, what else decides a run's numbers."""

import json
import platform
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


def write_record(trainer: L.Trainer, module: L.LightningModule) -> None:
    """Writes it into the run's folder; where a run goes on, says what has changed since it began."""
    path = Path(trainer.default_root_dir) / layout.RECORD
    found = _record(trainer, module)
    if not path.exists():
        write_whole(path, json.dumps(found, indent=1))
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{name} ({before.get(name)}, now {value})" for name, value in found.items() if before.get(name) != value
    ]
    if changed:
        rank_zero_warn(
            f"the run goes on with what was not so when it began, perhaps with other bits: {'; '.join(changed)}"
        )


def _record(trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
    data = getattr(trainer, "datamodule", None)
    config = getattr(getattr(module, "updated", None), "config", None)
    return {
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "processor": platform.machine(),
        "device": _device(trainer),
        "processes": trainer.world_size,
        "model": getattr(module, "pretrained", None),
        "model_commit": getattr(config, "_commit_hash", None),  # of a hub model
        "rows": getattr(data, "row_counts", {}),
        "fingerprints": getattr(data, "fingerprints", {}),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device(trainer: L.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
