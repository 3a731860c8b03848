"""Metrics in `metrics.csv`, which a continued run continues."""

import csv
import io
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor

from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import full_disk, write_whole

MetricsRow = dict[str, Any]


class MetricsCSV(Logger):
    """Writes `metrics.csv` and `hparams.yaml`, as Lightning's CSVLogger does, but that a kill never costs a row.

    Rows are appended; a new column, which every row gets, comes with a new file, which replaces the old one.

    Args:
        folder: of the run.
        every: rows that are kept back to be written at once; a checkpoint writes them too.
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int = 100) -> None:
        super().__init__()
        self.path = Path(folder) / layout.METRICS
        self.every = every
        self._columns: list[str] = []
        self._waiting: list[MetricsRow] = []
        self._written = 0

    @property
    def name(self) -> str:
        """Empty: the folder is the run's."""
        return ""

    @property
    def version(self) -> str:
        """Empty: the folder is the run's."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run's folder."""
        return str(self.path.parent)

    @property
    def rows(self) -> int:
        """How many there are, written or not."""
        return self._written + len(self._waiting)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Writes them into `hparams.yaml`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_hparams_to_yaml(self.path.parent / layout.HYPERPARAMETERS, params)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds a row."""
        values = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        self._waiting.append(values | {"step": self.rows if step is None else step})
        if len(self._waiting) >= self.every:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Writes the rows that wait; they are on disk when it returns."""
        if not self._waiting:
            return
        columns = sorted({*self._columns, *(name for row in self._waiting for name in row)})
        if columns == self._columns:
            self._append()
        else:
            self._rewrite(columns, [*self._read(), *self._waiting])
        self._written += len(self._waiting)
        self._waiting = []

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the rows that wait."""
        self.save()

    @rank_zero_only
    def keep(self, rows: int) -> None:
        """Resumes after a number of rows of an interrupted run; later ones, whole or cut, come again."""
        kept = self._read()[:rows]
        self._written = len(kept)
        if kept:
            self._rewrite(sorted(kept[0]), kept)
        else:
            self.path.unlink(missing_ok=True)

    def _read(self) -> list[MetricsRow]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def _append(self) -> None:
        with full_disk(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(_text(self._columns, self._waiting))
            file.flush()
            os.fsync(file.fileno())

    def _rewrite(self, columns: list[str], rows: Sequence[MetricsRow]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, ",".join(columns) + "\r\n" + _text(columns, rows))
        self._columns = columns


def _text(columns: Sequence[str], rows: Sequence[MetricsRow]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()
