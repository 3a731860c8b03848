"""What a run writes: the export and the checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn.callbacks import ExportPretrained, LastCheckpoint
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.commands.plan.step import ModelBytes
from lit_unlearn.runs import layout


class Written(NamedTuple):
    """Files of a run."""

    name: str
    folder: Path
    size: int
    """Bytes, at most at one time."""
    files: int


def written(config: PlanCLI, model: ModelBytes) -> list[Written]:
    """What the run's callbacks write that grows with the model."""
    root = config.folder_of_run
    callbacks = list(config.trainer_options.callbacks or [])
    checkpoints = [found for found in callbacks if isinstance(found, ModelCheckpoint)]
    kept = [found for found in callbacks if isinstance(found, LastCheckpoint)]
    if not kept and config.trainer_options.enable_checkpointing is not False:
        kept = [LastCheckpoint()]  # fit's own
    exports = [found for found in callbacks if isinstance(found, ExportPretrained)]
    return [
        *_exports(exports, root, model),
        *_checkpoints(checkpoints, root, model, config.trainer_options.max_steps),
        *(Written(layout.LAST_CHECKPOINT, root, 2 * (model.trained + model.optimizer), 1) for _ in kept),
    ]


def _exports(exports: list[ExportPretrained], root: Path, model: ModelBytes) -> Iterator[Written]:
    for export in exports:
        folder = Path(export.folder) if export.folder else root
        yield Written("adapter" if export.adapter else layout.EXPORT, folder, _export_size(export, model), 1)


def _export_size(export: ExportPretrained, model: ModelBytes) -> int:
    return model.trained if export.adapter else model.exported


def _checkpoints(checkpoints: list[ModelCheckpoint], root: Path, model: ModelBytes, steps: int) -> Iterator[Written]:
    for checkpoint in checkpoints:
        each = model.trained + (0 if checkpoint.save_weights_only else model.optimizer)
        files = _kept(checkpoint, steps)
        # A new file is whole before the one in whose place it comes is removed.
        yield Written(layout.CHECKPOINTS, Path(checkpoint.dirpath or root), each * (files + 1), files)


def _kept(checkpoint: ModelCheckpoint, steps: int) -> int:
    """Files at the end."""
    every = checkpoint._every_n_train_steps or steps
    ranked = checkpoint.save_top_k if checkpoint.save_top_k >= 0 else max(1, steps // max(1, every))
    return ranked + (1 if checkpoint.save_last is True else 0)
