"""A run with validations, epochs, an export and checkpoints, which a test interrupts; and what must be as without."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import torch

STEPS, VALIDATION, CHECKPOINT = 40, 10, 5  # an epoch of 30 rows of each topic, in batches of 2, has 30


class Interrupt(L.Callback):
    """Interrupts a run after a step, in the validation after it, or when training has ended."""

    def __init__(self, step: int, how: str, *, at: str = "train_batch_end") -> None:
        self.step, self.how, self.at = step, how, at

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._interrupt(trainer, "train_batch_end")

    def on_validation_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        self._interrupt(trainer, "validation_batch_start")

    def on_train_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._interrupt(trainer, "train_end")

    def _interrupt(self, trainer: L.Trainer, at: str) -> None:
        again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"  # by torchrun
        if os.environ.get("INTERRUPT") and not again and trainer.global_step == self.step and at == self.at:
            os.environ.pop("INTERRUPT")
            if self.how == "exception":
                raise RuntimeError("a mistake in a callback")
            os.kill(os.getpid(), getattr(signal, self.how))


def write_config(world: Path, questions: str, path: Path, **trainer: Any) -> Path:
    """The config of such a run."""
    content = {
        "model": {
            "pretrained": str(world / "model"),
            "forget": {"class_path": "RMU", "init_args": {"coefficient": 6.5}},
            "retain": "RepresentationMSE",
            "noise_scale": 0.03,
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-3}},
            "lr_scheduler": {"class_path": "CosineAnnealingLR", "init_args": {"T_max": STEPS}},
        },
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {name: {"path": f"{world / name}.jsonl"} for name in ("alchemy", "navigation")},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
                "batch_size": 2,
                "limit": 30,
                "evaluation": {"questions": {"retain": {"path": questions}}},
            },
        },
        "trainer": {
            "max_steps": STEPS,
            "accelerator": "cpu",
            "precision": "bf16-mixed",
            "log_every_n_steps": 1,
            "check_val_every_n_epoch": None,
            "val_check_interval": VALIDATION,
            "enable_progress_bar": False,
            "callbacks": [
                "PerturbationRobustness",
                "ExportPretrained",
                {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": CHECKPOINT}},
            ],
        }
        | trainer,
    }
    path.write_text(json.dumps(content))
    return path


def outcome(run: Path) -> dict[str, Any]:
    """All that a finished run has, but for times and paths."""
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    kept = torch.load(run / "last.ckpt", weights_only=True)
    return {
        "metrics": [{name: value for name, value in row.items() if "per_second" not in name} for row in rows],
        "results": json.loads((run / "results.json").read_text()),
        "weights": (run / "export" / "model.safetensors").read_bytes(),
        "state": _plain(kept["optimizer_states"]),
        "scheduler": _plain(kept["lr_schedulers"]),
        "step": kept["global_step"],
        "files": sorted(path.relative_to(run).as_posix() for path in run.rglob("*")),
    }


def check_same(run: Path, whole: dict[str, Any]) -> None:
    """A run has, bit for bit, what another has."""
    found = outcome(run)
    differing = [
        sorted(here.items() ^ there.items()) for here, there in zip(found["metrics"], whole["metrics"], strict=True)
    ]
    if any(differing):  # pytest would show both whole
        raise AssertionError(f"metrics differ: {[found for found in differing if found][:2]}")
    assert found == whole


def _plain(value: Any) -> Any:
    """The same without tensors, which do not compare."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
