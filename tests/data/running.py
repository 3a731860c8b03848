"""A DataModule over small streams, and a user's own module that remembers what it saw of them."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lit_unlearn import Batch, TextSource, UnlearnDataModule

Seen = tuple[list[int], list[int], list[int]]


def sources(world: Path, *names: str) -> dict[str, TextSource]:
    return {name: TextSource(str(world / f"{name}.jsonl"), min_length=0, max_length=16) for name in names}


def small(folder: Path, **rows: int) -> dict[str, TextSource]:
    """Streams of a few rows each."""
    for name, count in rows.items():
        (folder / f"{name}.txt").write_text("\n".join(f"the {name} {number}" for number in range(count)), "utf-8")
    return {name: TextSource(str(folder / f"{name}.txt"), min_length=0) for name in rows}


def data_module(world: Path, **options: Any) -> UnlearnDataModule:
    forget, retain = sources(world, "alchemy", "navigation"), sources(world, "gardening")
    defaults: dict[str, Any] = {"tokenizer": str(world / "model"), "batch_size": 4, "seed": 0}
    return UnlearnDataModule(options.pop("forget", forget), options.pop("retain", retain), **(defaults | options))


def ready(data: UnlearnDataModule) -> UnlearnDataModule:
    data.prepare_data()
    data.setup("fit")
    return data


def seen(pair: dict[str, Batch]) -> Seen:
    return pair["forget"]["topic"].tolist(), pair["forget"]["row"].tolist(), pair["retain"]["row"].tolist()


def texts(loader: Any, side: str) -> list[tuple[int, ...]]:
    """The real tokens of every row."""
    return [
        tuple(ids[mask == 1].tolist())
        for pair in loader
        for ids, mask in zip(pair[side]["input_ids"], pair[side]["attention_mask"], strict=True)
    ]


class Model(L.LightningModule):
    """A user's own module, which knows nothing of this package, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 2)
        self.seen: list[Seen] = []
        self.validated: list[Seen] = []

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:
        self.seen.append(seen(batch))
        forget, retain = (self.embedding(batch[side]["input_ids"]).pow(2).mean() for side in ("forget", "retain"))
        loss: Tensor = retain - forget
        return loss

    def validation_step(self, batch: dict[str, Batch], batch_idx: int) -> None:
        self.validated.append(seen(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, *callbacks: L.Callback, **options: Any) -> L.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    checkpointing = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        enable_checkpointing=checkpointing,
        callbacks=list(callbacks),
        **(quiet | options),
    )
