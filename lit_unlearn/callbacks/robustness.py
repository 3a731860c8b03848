"""Accuracy on questions, perturbed questions and their controls, before, during and after training."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import lightning as L
from torch import Tensor

from lit_unlearn.callbacks.evaluation import EvaluationCallback, Found, of_all_processes, on_cpu
from lit_unlearn.errors import InputError
from lit_unlearn.modules.protocols import HasEvaluation, datamodule_of
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.baselines import Baselines
from lit_unlearn.questions.outcomes import Outcomes
from lit_unlearn.questions.prompt_limit import Cut
from lit_unlearn.questions.sets import Variant


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


_NO_QUESTIONS = "PerturbationRobustness: there are no questions; set data.evaluation.questions"


class PerturbationRobustness(EvaluationCallback):
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

    def __init__(self, forget: Sequence[str] = ("forget",)) -> None:
        super().__init__()
        self.forget = tuple(forget)
        self._seen: dict[int, list[Mapping[str, Tensor]]] = defaultdict(list)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks that there is something to ask, and asks all of it before training."""
        if not any(_sets(trainer)):
            raise InputError(_NO_QUESTIONS)
        super().setup(trainer, pl_module, stage)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that there is something to ask."""
        if isinstance(data, HasEvaluation) and data.evaluation is None:
            raise InputError(_NO_QUESTIONS)
        super().check_options(trainer, pl_module, data)

    def _keep(self, outputs: Mapping[str, Any], batch: Any, dataloader_idx: int) -> None:
        if "correct" in outputs:
            rows = {**outputs, "variant": batch["variant"][batch["valid"]]}
            self._seen[dataloader_idx].append(on_cpu(rows))

    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        asked = self._gather(trainer)
        measured = outcomes.measure(asked, _cut_prompts(trainer))
        record: dict[str, Any] = {
            "measured": {str(variant): row for variant, row in measured.items()},
            "outcomes": {str(variant): answers for variant, answers in asked.items()},
        }
        guesses = _baselines(trainer)
        if guesses:
            record["baselines"] = {name: one.numbers() for name, one in guesses.items()}
        logged = outcomes.log_values(measured, forget=self.forget)
        return Found(record, logged, outcomes.accuracy_table(measured, guesses))

    def _gather(self, trainer: L.Trainer) -> dict[Variant, Outcomes]:
        """The outcomes of every variant over all processes, by question number."""
        seen = {index: outcomes.joined(batches) for index, batches in self._seen.items()}
        self._seen = defaultdict(list)
        parts = of_all_processes(trainer, seen)
        found: dict[Variant, Outcomes] = {}
        for index, variants in enumerate(_sets(trainer)):
            rows = [part[index] for part in parts if index in part]
            asked = {
                variant: outcomes.merged([outcomes.of(place, part) for part in rows])
                for place, variant in enumerate(variants)
                if rows
            }
            found |= outcomes.complete(asked) if asked and _limited(trainer) else asked
        return found


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
