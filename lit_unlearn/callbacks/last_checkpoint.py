"""The checkpoint from which an interrupted run resumes bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from lit_unlearn.errors import check_at_least
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import full_disk, publish, remove, synchronise
from lit_unlearn.runs.interruption import Interruption, ends
from lit_unlearn.runs.metrics_csv import MetricsCSV
from lit_unlearn.runs.shown import Shown

_ROWS = "lit_unlearn_metrics_rows"


class LastCheckpoint(Shown, Checkpoint):
    """Keeps `last.ckpt` in the run's folder: every N steps, when the run is interrupted, and at its end.

    It is written between two steps, when all that belongs to the first is done: its validation, if there is one, and
    its row of `metrics.csv`. So a run that resumes from it is, bit for bit, the run that was never interrupted. A new
    one replaces the earlier one when it is complete and on disk. `lit-unlearn fit` has this callback unless
    `trainer.enable_checkpointing` is false.

    Ctrl-C, SIGTERM and the signal that SLURM sends before a job's time is over end the run after the step and its
    validation, with a checkpoint, in all processes. A second Ctrl-C ends it at once. After SLURM's signal the job is
    queued again, without waiting for a validation, which may last longer than the job.

    Args:
        every_n_steps: steps from one checkpoint to the next.

    Raises:
        InputError: the number cannot be, or the disk is full; the earlier checkpoint is intact then.
    """

    def __init__(self, every_n_steps: int = 100) -> None:
        check_at_least("LastCheckpoint.every_n_steps", every_n_steps, 1)
        self.every_n_steps = every_n_steps
        self._due = False
        self._stepped = True
        self._step = 0
        self._stop = False
        self._interruption = Interruption()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """What Lightning would do when SLURM's signal comes is done here."""
        self._interruption.take_over(trainer)

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on what ends a job waits for the end of a step."""
        self._interruption.watch(keyboard=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """From here on Ctrl-C does so too."""
        self._due, self._stop, self._step = False, False, trainer.global_step
        self._interruption.watch(keyboard=True)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Writes what is due after the last step."""
        if self._due:
            with _before_the_batch(trainer):
                self._save(trainer)
        if self._stop and self._stepped:
            self._interruption.leave(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        """Says what is due."""
        self._stepped, self._step = trainer.global_step != self._step, trainer.global_step
        self._stop = self._interruption.agreed(trainer)
        now = self._stop or trainer.global_step % self.every_n_steps == 0
        self._due = now and self._stepped and not ends(trainer)
        if self._interruption.urgent and ends(trainer):
            self._interruption.leave(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What would last too long is not waited for."""
        if self._stop:
            self._interruption.requeue_now(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes what is due after a step with a validation."""
        if trainer.sanity_checking:  # weights may be others then, as those of Interpolation
            return
        self._stop = self._interruption.agreed(trainer)
        if (self._due or (self._stop and self._stepped)) and not ends(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the last one, after all other callbacks have done what they do in the end."""
        self._save(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps how many rows of metrics there were."""
        checkpoint[_ROWS] = [logger.rows for logger in trainer.loggers if isinstance(logger, MetricsCSV)]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Where the run resumes in its own folder, its `metrics.csv` is continued."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, MetricsCSV)]
        for logger, rows in zip(loggers, checkpoint.get(_ROWS, []), strict=False):
            if trainer.training and _own(trainer):
                logger.keep(rows)

    def _save(self, trainer: L.Trainer) -> None:
        self._due = False
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        for logger in trainer.loggers:
            logger.save()
        path = _path(trainer)
        partial = path.with_name(f".{path.name}.partial")  # the same in all processes
        with full_disk(path):
            if trainer.is_global_zero:
                remove(partial)
            trainer.save_checkpoint(partial, weights_only=False)  # the optimizer's state too
            if trainer.is_global_zero:
                synchronise(partial)
                publish(partial, path)
        trainer.strategy.barrier("last checkpoint")


def _path(trainer: L.Trainer) -> Path:
    return Path(trainer.default_root_dir) / layout.LAST_CHECKPOINT


def _own(trainer: L.Trainer) -> bool:
    """Whether the checkpoint with which the run began is of its own folder."""
    root = Path(trainer.default_root_dir).resolve()
    return trainer.ckpt_path is not None and root in Path(trainer.ckpt_path).resolve().parents


@contextmanager
def _before_the_batch(trainer: L.Trainer) -> Iterator[None]:
    """Within this context the batch whose step begins is not counted."""
    progress = trainer.fit_loop.epoch_loop.batch_progress.total
    progress.ready -= 1
    try:
        yield
    finally:
        progress.ready += 1
