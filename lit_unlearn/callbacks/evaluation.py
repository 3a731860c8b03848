"""What callbacks that evaluate have in common: when they do, and the one `results.json` that they write together."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple, TypeVar

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.callbacks.own_file import OwnFile
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.errors import InputError
from lit_unlearn.modules.hyperparameters import hyperparameters_of
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.outcomes import HeldOut
from lit_unlearn.runs import layout
from lit_unlearn.runs.moment import moment
from lit_unlearn.runs.shown import Shown

_PACKAGES = ("lit-unlearn", "torch", "lightning", "transformers", "datasets")
_Part = TypeVar("_Part")


class Found(NamedTuple):
    """What one callback makes of an evaluation."""

    record: Mapping[str, Any]
    """Its part of the record in results.json."""
    logged: Mapping[str, float]
    """By key, without `val/` or `test/`."""
    table: str
    """What is printed."""


class EvaluationCallback(Shown, L.Callback, ABC):
    """Counts what `validation_step` returns before training, at every validation, and after.

    Several of them in one Trainer keep one record of each evaluation; the first of them holds the records, and the
    likelihood of held-out rows.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(self) -> None:
        self.forget: tuple[str, ...] = ()
        self.evaluations: list[dict[str, Any]] = []
        self._held_out: list[Mapping[str, Tensor]] = []
        self._condition: dict[str, float | str] = {}
        self._file = OwnFile(type(self).__name__, layout.RESULTS)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Evaluates all before training, and checks that training ends with an evaluation.

        Raises:
            InputError: it would not.
        """
        if stage == "fit" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.num_sanity_val_steps = float("inf")
            _check_ends_with_validation(trainer)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that training ends with an evaluation.

        Raises:
            InputError: it would not.
        """
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            _check_ends_with_validation(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the results of no other run would be lost."""
        if _first(trainer) is self:
            self._file.check(trainer)

    on_test_start = on_train_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps what came out for a batch."""
        if not isinstance(outputs, Mapping):
            return
        if "forget_nll" in outputs:
            self._held_out.append(on_cpu(outputs))
        else:
            self._keep(outputs, batch, dataloader_idx)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Counts over all processes, logs, prints and writes."""
        first = _first(trainer)
        if first is self:
            self._begin_record(trainer)
        held_out = self._gather_held_out(trainer)
        found = self._count(trainer, first.evaluations)
        first.evaluations[-1] |= found.record
        if not trainer.sanity_checking:
            prefix = "test" if trainer.testing else "val"
            values = {f"{prefix}/{name}": value for name, value in found.logged.items()}
            pl_module.log_dict(values, add_dataloader_idx=False)
        if trainer.is_global_zero:
            condition = "".join(f", {name} {value}" for name, value in first._condition.items())
            lines = [f"\n{moment(trainer)}{condition}", found.table]
            if held_out is not None and first is self:
                self.evaluations[-1]["held_out"] = held_out
                lines.append(outcomes.held_out_line(held_out))
            print_lines("\n".join(lines))
            first._write(trainer, pl_module)

    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end

    @contextmanager
    def under(self, **condition: float | str) -> Iterator[None]:
        """Within this context an evaluation is not of the weights as trained: its record says what differs."""
        self._condition = condition
        try:
            yield
        finally:
            self._condition = {}

    def state_dict(self) -> dict[str, Any]:
        """The evaluations so far, so that a resumed run's results are whole."""
        return {"evaluations": json.dumps(self.evaluations)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues after the evaluations of the interrupted run."""
        self.evaluations = json.loads(state_dict["evaluations"])

    @abstractmethod
    def _keep(self, outputs: Mapping[str, Any], batch: Any, dataloader_idx: int) -> None:
        """Takes what came out for a batch that is not of held-out pairs."""

    @abstractmethod
    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        """What came out of the evaluation, over all processes, each of which calls it.

        Args:
            trainer: of the run.
            evaluations: the records so far, the last that of this evaluation.
        """

    def _begin_record(self, trainer: L.Trainer) -> None:
        record: dict[str, Any] = {"step": trainer.global_step, **self._condition, "measured": {}, "outcomes": {}}
        self.evaluations.append(record)

    def _gather_held_out(self, trainer: L.Trainer) -> HeldOut | None:
        own, self._held_out = self._held_out, []
        batches = [batch for part in of_all_processes(trainer, own) for batch in part]
        return outcomes.held_out(batches) if batches else None

    def _write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        results = {
            "hyperparameters": hyperparameters_of(pl_module),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
            "forget": [name for one in evaluating(trainer) for name in one.forget],
            "versions": {name: version(name) for name in _PACKAGES},
            "evaluations": self.evaluations,
        }
        self._file.write(trainer, json.dumps(results, indent=1))


def evaluating(trainer: L.Trainer) -> list[EvaluationCallback]:
    """The callbacks that evaluate."""
    return [one for one in trainer.callbacks if isinstance(one, EvaluationCallback)]  # type: ignore[attr-defined]


def of_all_processes(trainer: L.Trainer, own: _Part) -> list[_Part]:
    """What each process has, which all must call."""
    parts = [own] * trainer.world_size
    if trainer.world_size > 1:
        torch.distributed.all_gather_object(parts, own)
    return parts


def on_cpu(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors where they take no memory of a GPU."""
    return {name: value.cpu() for name, value in rows.items()}


def _first(trainer: L.Trainer) -> EvaluationCallback:
    """The callback that holds the records."""
    return evaluating(trainer)[0]


def _check_ends_with_validation(trainer: L.Trainer) -> None:
    every, steps = trainer.val_check_interval, trainer.max_steps
    if steps > 0 and not (isinstance(every, int) and steps * trainer.accumulate_grad_batches % every == 0):
        raise InputError(
            f"trainer.val_check_interval: {every} would end {steps} steps without an evaluation; set it to a divisor "
            "of trainer.max_steps, and trainer.check_val_every_n_epoch to null"
        )
