"""How far a run is, and how long it still takes: bars where someone watches, lines where output goes into a file."""

import io
import math
import sys
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from lit_unlearn.questions.shares import CountsRows
from lit_unlearn.runs.moment import moment
from lit_unlearn.runs.waiting import watched

_BAR = "{desc}: {bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"
_LINE = "{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}{postfix}]"


class RunProgress(TQDMProgressBar):
    """Shows optimizer steps out of all of the run, and rows (questions, texts) out of all of an evaluation.

    In a terminal or a notebook it shows bars. Where output goes elsewhere it prints lines without control characters:
    one when training or an evaluation begins, one every `seconds` while it lasts, one when it ends. The time left of
    training is that of its steps, without evaluations on the way. Process 0 alone shows anything, of rows its own.

    Args:
        seconds: from one line to the next.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._watched = watched(sys.stdout)
        self._counts_rows = False

    def on_sanity_check_start(self, *_: Any) -> None:
        """The evaluation before training shows itself when its sets are known."""
        self.train_progress_bar, self.val_progress_bar = Tqdm(disable=True), Tqdm(disable=True)

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Training begins, or resumes."""
        steps = trainer.estimated_stepping_batches
        total = int(steps) if math.isfinite(steps) else None
        self.train_progress_bar = self._bar("Training", total, unit="steps", begun=trainer.global_step)

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Steps are counted over all epochs."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Shows the optimizer steps that have been taken."""
        bar = self.train_progress_bar
        if self.is_enabled:
            bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)
            bar.update(trainer.global_step - bar.n)

    def on_train_epoch_end(self, *_: Any) -> None:
        """Steps are counted over all epochs."""

    def on_validation_start(self, trainer: L.Trainer, *_: Any) -> None:
        """An evaluation begins."""
        if self._train_progress_bar is not None:  # `unpause` goes back to here, not to what was shown last
            self.train_progress_bar.last_print_t = time()
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self.val_progress_bar = self._evaluation(_name(trainer), trainer.val_dataloaders, batches)

    def on_validation_batch_start(self, *_: Any) -> None:
        """All sets are one evaluation."""

    def on_validation_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        """Shows the rows that have been evaluated."""
        self.val_progress_bar.update(self._done(batch))

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        """The clock of training, which has stood still, moves again."""
        self.val_progress_bar.close()
        if self._train_progress_bar is not None:
            self.train_progress_bar.unpause()

    def on_test_start(self, trainer: L.Trainer, *_: Any) -> None:
        """An evaluation begins."""
        self.test_progress_bar = self._evaluation("Evaluation", trainer.test_dataloaders, trainer.num_test_batches)

    def on_test_batch_start(self, *_: Any) -> None:
        """All sets are one evaluation."""

    def on_test_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        """Shows the rows that have been evaluated."""
        self.test_progress_bar.update(self._done(batch))

    def _evaluation(self, name: str, loaders: Any, batches: Sequence[int | float]) -> Tqdm:
        """Counts rows where every set says how many it has and all are evaluated on, else batches.

        Args:
            name: of the evaluation.
            loaders: one or several.
            batches: of each, how many are evaluated on.
        """
        given = loaders if isinstance(loaders, list | tuple) else [loaders]
        sets = [getattr(loader, "dataset", None) for loader in given]
        counted = [one.rows for one in sets if isinstance(one, CountsRows)]
        self._counts_rows = len(counted) == len(sets) and [*batches] == [*map(len, given)]
        if self._counts_rows:
            return self._bar(name, sum(counted), unit="rows")
        total = sum(batches)
        return self._bar(name, int(total) if math.isfinite(total) else None, unit="batches")

    def _done(self, batch: Any) -> int:
        """Rows of a batch, or the batch itself."""
        if not self._counts_rows:
            return 1
        valid: Tensor | None = batch.get("valid") if isinstance(batch, Mapping) else None
        return len(next(iter(batch.values()))["row"]) if valid is None else int(valid.sum())

    def _bar(self, name: str, total: int | None, *, unit: str, begun: int = 0) -> Tqdm:
        shown: dict[str, Any] = {"dynamic_ncols": True, "file": sys.stdout, "bar_format": _BAR, "leave": False}
        lines = {"mininterval": self.seconds, "file": _Lines(), "bar_format": _LINE, "leave": True, "position": 0}
        return Tqdm(
            desc=name,
            total=total,
            initial=begun,
            unit=unit,
            disable=self.is_disabled,
            smoothing=0,
            miniters=1,
            **(shown if self._watched else lines),
        )


def _name(trainer: L.Trainer) -> str:
    found = moment(trainer)
    return found if trainer.state.fn != "fit" else f"Evaluation {found.lower()}"


class _Lines(io.StringIO):
    """A file into which tqdm writes its bar: each state is a line of standard output."""

    def write(self, text: str) -> int:
        """Prints what is more than the way back to the beginning of the line."""
        if line := text.strip():
            sys.stdout.write(f"{line}\n")
        return len(text)
