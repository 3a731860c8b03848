"""Real Trainers for tests: quiet, on the CPU, without logger or checkpoints unless asked for."""

from pathlib import Path
from typing import Any

import lightning as L
from torch.optim import AdamW

from lit_unlearn import RMU, RepresentationMSE, TextSource, UnlearnDataModule, UnlearnModule


class Losses(L.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        self.values.append(outputs["loss"].item())


def quiet_trainer(folder: Path, **options: Any) -> L.Trainer:
    """A Trainer that writes into `folder`."""
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "max_steps": 3,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**defaults | options)


def demo_module(world: Path, **options: Any) -> UnlearnModule:
    """RMU with noise on the demo's model."""
    defaults: dict[str, Any] = {
        "forget": RMU(6.5),
        "retain": RepresentationMSE(),
        "retain_weight": 5.0,
        "noise_scale": 0.03,
        "optimizer": lambda parameters: AdamW(parameters, lr=3e-3, weight_decay=0.0, eps=1e-8),
    }
    return UnlearnModule(str(world / "model"), **defaults | options)


def demo_data(world: Path, **options: Any) -> UnlearnDataModule:
    """The demo's two topics and its retain stream."""
    sources = {name: TextSource(str(world / f"{name}.jsonl")) for name in ("alchemy", "navigation", "gardening")}
    retain = {"gardening": sources.pop("gardening")}
    return UnlearnDataModule(sources, retain, **options)
