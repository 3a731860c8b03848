"""Accuracy on questions, perturbed questions and their controls, before, during and after training."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, ClassVar, Protocol, runtime_checkable

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.callbacks.own_file import OwnFile
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.errors import InputError
from lit_unlearn.modules.hyperparameters import hyperparameters_of
from lit_unlearn.modules.protocols import datamodule_of
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.baselines import Baselines
from lit_unlearn.questions.outcomes import HeldOut, Outcomes
from lit_unlearn.questions.prompt_limit import Cut
from lit_unlearn.questions.sets import Variant
from lit_unlearn.runs import layout

_PACKAGES = ("lit-unlearn", "torch", "lightning", "transformers", "datasets")


@runtime_checkable
class HasEvaluationSets(Protocol):
    """A DataModule that asks questions."""

    @property
    def evaluation_sets(self) -> Sequence[tuple[Variant, ...]]:
        """What each evaluation loader asks; a row's `variant` is an index into it."""


@runtime_checkable
class HasCutPrompts(Protocol):
    """A DataModule that counts prompts longer than the model's limit."""

    @property
    def cut_prompts(self) -> Mapping[str, Cut]:
        """Of each variant, by its log key."""


@runtime_checkable
class HasBaselines(Protocol):
    """A DataModule that knows what its question sets give away unread."""

    @property
    def baselines(self) -> Mapping[str, Baselines]:
        """Of each set, by its name."""


class PerturbationRobustness(L.Callback):
    """Evaluates the questions of the DataModule (`data.evaluation`) before training, at every validation, and after.

    For each set: accuracy as asked, under each perturbation and under its control, with standard errors; the drop and
    the share of flipped answers; the commonest letter, its share of all and of the wrong answers; and two measures
    without a floor, the log-probability of the right answer's letter and, unperturbed, of its text, in nats. Of a cloze
    set, the accuracy by the likelihood of the options' texts, summed and per character, and of the right one its
    log-probability in every variant. Beside every set, the accuracies of rules that read no question. Where rows are
    held out, also their likelihood. It prints a table, logs to any logger and writes `results.json` into the run's
    folder, with the outcomes of every question and row. It works with any LightningModule whose `validation_step`
    returns `{"correct": bool [rows], "prediction": int [rows], "number": int [rows]}` for the valid rows of a batch of
    questions, and any DataModule whose `evaluation_sets` lists, for each evaluation loader, the `Variant`s into which
    `variant [rows]` of its batches is an index. `letter_logprob` and `text_logprob`, float `[rows]`, `correct_norm` and
    `prediction_norm` may be among what the module returns; of a batch of held-out rows it may return a `HeldOut`.

    Logged: `val/SET/accuracy`, `val/SET/PERTURBATION/accuracy`, `…/accuracy_norm`, `…/accuracy_drop`, `…/flip_rate`,
    `…/commonest_share`, `…/collapse_rate`, `…/letter_logprob`, `val/SET/text_logprob`, the same under
    `val/SET/PERTURBATION/control/`, and `val/selectivity`, which ModelCheckpoint and EarlyStopping can monitor: the
    mean accuracy on the sets to retain, perturbed or not, minus that on the sets to forget. The module logs
    `val/forget_nll` and `val/retain_nll`.

    Args:
        forget: names of the question sets that are to be forgotten.

    Raises:
        InputError: there are no questions, or training would end without an evaluation.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(self, forget: Sequence[str] = ("forget",)) -> None:
        self.forget = tuple(forget)
        self.evaluations: list[dict[str, Any]] = []
        self._seen: dict[int, list[Mapping[str, Tensor]]] = defaultdict(list)
        self._held_out: list[Mapping[str, Tensor]] = []
        self._condition: dict[str, float] = {}
        self._file = OwnFile("PerturbationRobustness", layout.RESULTS)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks that there is something to ask, and asks all of it before training."""
        if not any(_sets(trainer)):
            raise InputError("PerturbationRobustness: there are no questions; set data.evaluation.questions")
        if stage == "fit" and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.num_sanity_val_steps = float("inf")
            _check_ends_with_validation(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the results of no other run would be lost."""
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
        """Keeps the outcomes of a batch of questions or of held-out rows."""
        if not isinstance(outputs, Mapping):
            return
        if "correct" in outputs:
            rows = {**outputs, "variant": batch["variant"][batch["valid"]]}
            self._seen[dataloader_idx].append(_on_cpu(rows))
        elif "forget_nll" in outputs:
            self._held_out.append(_on_cpu(outputs))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Counts over all processes, logs, prints and writes."""
        asked, held_out = self._gather(trainer)
        measured = outcomes.measure(asked, _cut_prompts(trainer))
        record: dict[str, Any] = {
            "step": trainer.global_step,
            **self._condition,
            "measured": {str(variant): row for variant, row in measured.items()},
            "outcomes": {str(variant): answers for variant, answers in asked.items()},
        }
        guesses = _baselines(trainer)
        if guesses:
            record["baselines"] = {name: one.numbers() for name, one in guesses.items()}
        if held_out is not None:
            record["held_out"] = held_out
        self.evaluations.append(record)
        if not trainer.sanity_checking:
            prefix = "test" if trainer.testing else "val"
            values = outcomes.log_values(measured, forget=self.forget)
            pl_module.log_dict({f"{prefix}/{name}": value for name, value in values.items()}, add_dataloader_idx=False)
        if trainer.is_global_zero:
            condition = "".join(f", {name} {value}" for name, value in self._condition.items())
            table = [outcomes.accuracy_table(measured, guesses)] + (
                [] if held_out is None else [outcomes.held_out_line(held_out)]
            )
            print_lines("\n".join([f"\nAfter {trainer.global_step} steps{condition}", *table]))
            self._write(trainer, pl_module)

    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end

    @contextmanager
    def under(self, **condition: float) -> Iterator[None]:
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
        """Goes on after the evaluations of the interrupted run."""
        self.evaluations = json.loads(state_dict["evaluations"])

    def _gather(self, trainer: L.Trainer) -> tuple[dict[Variant, Outcomes], HeldOut | None]:
        """The outcomes of every variant over all processes, by question number; those of held-out rows, if any."""
        seen = {index: outcomes.joined(batches) for index, batches in self._seen.items()}, self._held_out
        self._seen, self._held_out = defaultdict(list), []
        parts = [seen]
        if trainer.world_size > 1:
            parts = [seen] * trainer.world_size
            torch.distributed.all_gather_object(parts, seen)
        found: dict[Variant, Outcomes] = {}
        for index, variants in enumerate(_sets(trainer)):
            rows = [part[index] for part, _ in parts if index in part]
            asked = {
                variant: outcomes.merged([outcomes.of(place, part) for part in rows])
                for place, variant in enumerate(variants)
                if rows
            }
            found |= outcomes.complete(asked) if asked and _limited(trainer) else asked
        batches = [batch for _, own in parts for batch in own]
        return found, outcomes.held_out(batches) if batches else None

    def _write(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        results = {
            "hyperparameters": hyperparameters_of(pl_module),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
            "forget": list(self.forget),
            "versions": {name: version(name) for name in _PACKAGES},
            "evaluations": self.evaluations,
        }
        self._file.write(trainer, json.dumps(results, indent=1))


def _on_cpu(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in rows.items()}


def _sets(trainer: L.Trainer) -> list[tuple[Variant, ...]]:
    data = datamodule_of(trainer)
    return list(data.evaluation_sets) if isinstance(data, HasEvaluationSets) else []


def _cut_prompts(trainer: L.Trainer) -> Mapping[str, Cut] | None:
    data = datamodule_of(trainer)
    return data.cut_prompts if isinstance(data, HasCutPrompts) else None


def _baselines(trainer: L.Trainer) -> Mapping[str, Baselines]:
    data = datamodule_of(trainer)
    return data.baselines if isinstance(data, HasBaselines) else {}


def _limited(trainer: L.Trainer) -> bool:
    """Whether not all batches are asked, so that a question may be without some of its variants."""
    limits = (trainer.limit_test_batches, trainer.limit_val_batches)
    return trainer.fast_dev_run or any(limit != 1.0 for limit in limits)  # type: ignore[attr-defined]


def _check_ends_with_validation(trainer: L.Trainer) -> None:
    every, steps = trainer.val_check_interval, trainer.max_steps
    if steps > 0 and not (isinstance(every, int) and steps * trainer.accumulate_grad_batches % every == 0):
        raise InputError(
            f"trainer.val_check_interval: {every} would end {steps} steps without an evaluation; set it to a divisor "
            "of trainer.max_steps, and trainer.check_val_every_n_epoch to null"
        )
