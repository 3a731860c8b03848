"""What a run takes, phase by phase: a callback of a real Trainer."""

import time
from contextlib import ExitStack
from typing import Any, NamedTuple

import lightning as L
import torch

from benchmarks.floor import synchronise
from benchmarks.measured import Memory
from lit_unlearn import ExportPretrained

CPU = torch.device("cpu")


class Phase(NamedTuple):
    """A phase of a run."""

    seconds: list[float]
    """Of the whole phase, or of each step or batch."""
    peak: int
    """Bytes of the device's memory at the worst moment, above what there was before the model."""


class Phases(L.Callback):
    """Measures how long the model takes to load, and each step or batch of questions, with the memory of each phase.

    It must be the first callback: what those after it do before training is not loading.

    Args:
        device: on which the model runs.
        warmup: first steps or batches that do not count.
    """

    def __init__(self, device: torch.device, warmup: int) -> None:
        self.found: dict[str, Phase] = {}
        """By name: `load`, `step`; or, where nothing is trained, `load, whole model` and `evaluation`."""
        self._device = device
        self._warmup = warmup
        self._before: int | None = None
        self._open = ExitStack()
        self._seconds: list[float] = []
        self._since = 0.0

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Nothing is loaded yet."""
        self._begin()

    def on_fit_start(self, *args: Any) -> None:
        """The model is on its device."""
        self._loaded("load")

    def on_validation_start(self, *args: Any) -> None:
        """The same, where nothing is trained."""
        self._loaded("load, whole model")

    def on_train_batch_end(self, *args: Any) -> None:
        """A step is over, what loads the next one's rows included in that."""
        self._count()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """The same for a batch of questions."""
        self._count()

    def on_train_end(self, *args: Any) -> None:
        """All steps are over."""
        self._end("step")

    def on_validation_end(self, *args: Any) -> None:
        """All questions are answered."""
        self._end("evaluation")

    def _begin(self) -> None:
        self._memory = self._open.enter_context(Memory(self._device, self._before))
        self._before, self._seconds, self._since = self._memory.before, [], time.perf_counter()

    def _loaded(self, name: str) -> None:
        self._lap()
        self._end(name)
        self._begin()

    def _count(self) -> None:
        self._lap()
        if self._warmup > 0 and len(self._seconds) == self._warmup:
            self._warmup = 0
            self._open.close()
            self._begin()

    def _lap(self) -> None:
        synchronise(self._device)
        now = time.perf_counter()
        self._seconds.append(now - self._since)
        self._since = now

    def _end(self, name: str) -> None:
        self._open.close()
        self.found[name] = Phase(self._seconds, self._memory.peak)


class MeasuredExport(ExportPretrained):
    """Measures an export in the host's memory, in which it is written.

    Args:
        folder: where to write.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.found: dict[str, Phase] = {}
        """`export`, when it is done."""

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exports."""
        begin = time.perf_counter()
        with Memory(CPU) as memory:
            super().on_train_end(trainer, pl_module)
        self.found["export"] = Phase([time.perf_counter() - begin], memory.peak)
