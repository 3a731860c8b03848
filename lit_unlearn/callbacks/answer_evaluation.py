"""Free answers, before, during and after training: the metrics of TOFU, MUSE and RWKU."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import lightning as L
from torch import Tensor

from lit_unlearn.answers import outcomes
from lit_unlearn.answers.outcomes import PREFIX, Outcomes
from lit_unlearn.answers.plan import NO_ANSWERS, AnswerPlan
from lit_unlearn.answers.reference import load_reference
from lit_unlearn.callbacks.asked_module import held_model, named_source
from lit_unlearn.callbacks.evaluation import EvaluationCallback, Found, of_all_processes, on_cpu
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.pretrained import PretrainedModule
from lit_unlearn.modules.protocols import HasAnswers, datamodule_of
from lit_unlearn.running.decoding import decode


@runtime_checkable
class AsksForAnswers(Protocol):
    """A DataModule with questions that have free answers."""

    def plan_answers(self) -> AnswerPlan:
        """Adds an evaluation loader of the answers that are scored, and says what is in it."""


class AnswerEvaluation(EvaluationCallback):
    """Scores the right and other answers to the questions of `data.answers`, and has the model write its own.

    Of each set, with standard errors over rows: the answer's probability; the truth ratio, of rows to forget
    min(R, 1/R), else max(0, 1 - R), where right answers in other words and wrong answers are given; ROUGE-L of what the
    model writes; extraction strength and exact memorisation; the membership scores LOSS, zlib, Min-K % and Min-K %++.
    Of all sets: model utility (the harmonic mean over retain and general sets); with a holdout set, how well Min-K %
    tells forget rows from unseen ones; with a reference, forget quality and PrivLeak. docs/evaluation.md has the
    formulas.

    It prints a table, logs (`val/answers/forget/probability`, `val/answers/model_utility`,
    `val/answers/forget_quality`, …), and writes `results.json` into the run's folder, alone or together with the other
    callbacks that evaluate, with all values by row and the answers that were written.

    It works with any LightningModule whose `validation_step` returns `AnswerScores` for a batch with `answers`, as
    UnlearnModule and QuestionModule do.

    Args:
        reference: folder of an evaluation of the retain-only model on the same data, for forget quality and PrivLeak.
        max_new_tokens: tokens of each written answer; 0 writes none, so that there is no ROUGE and no model utility.

    Raises:
        InputError: the data has no such questions, the reference has other rows, or training would end without an
            evaluation.
    """

    def __init__(self, reference: str | None = None, *, max_new_tokens: int = 200) -> None:
        super().__init__()
        if max_new_tokens < 0:
            raise InputError(f"AnswerEvaluation.max_new_tokens: {max_new_tokens} cannot be; give 0 or more")
        self.reference = reference
        self.max_new_tokens = max_new_tokens
        self._reference: Outcomes | None = None
        self._plan: AnswerPlan | None = None
        self._seen: list[Mapping[str, Tensor]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Has the DataModule render what is scored, compares the reference's rows, and evaluates before training."""
        self._plan = _asking(datamodule_of(trainer)).plan_answers()
        if self.reference is not None:
            self._reference = load_reference(self.reference)
            self._check_reference(self._plan, self._reference)
        if self.max_new_tokens:
            self._tokenizer = load_tokenizer(named_source(self, pl_module))
        super().setup(trainer, pl_module, stage)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that there are answers to score."""
        _asking(data)
        if isinstance(data, HasAnswers) and not data.answers:
            raise InputError(NO_ANSWERS)
        super().check_options(trainer, pl_module, data)

    def _keep(self, outputs: Mapping[str, Any], batch: Any, dataloader_idx: int) -> None:
        if "mean_logprob" in outputs:
            self._seen.append(on_cpu(outputs))

    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        own, self._seen = outcomes.token_values(self._seen), []
        values = {number: found for part in of_all_processes(trainer, own) for number, found in part.items()}
        assert self._plan is not None
        written = self._written(trainer, self._plan) if self.max_new_tokens else None
        found = outcomes.outcomes(self._plan, values, written)
        if not found:  # of some batches
            return Found({}, {}, "AnswerEvaluation: too few batches to measure anything")
        measured = outcomes.measure(found, self._reference)
        rows = {name: len(one["row"]) for name, one in found.items()}
        return Found(
            {PREFIX: {"measured": measured, "outcomes": found}},
            outcomes.log_values(measured),
            outcomes.answers_table(measured, rows),
        )

    def _written(self, trainer: L.Trainer, plan: AnswerPlan) -> dict[tuple[str, int], str]:
        """The model's own answers; where every process holds the whole model, each writes its share of them."""
        module = trainer.lightning_module
        asked = {(name, row.asked.number): plan.prompt(row) for name, one in plan.sets.items() for row in one.rows}
        alone = isinstance(module, PretrainedModule) and not module.is_sharded()
        rank, world = (trainer.global_rank, trainer.world_size) if alone else (0, 1)
        own = dict([*asked.items()][rank::world])
        model, tokens = held_model(self, module), self.max_new_tokens
        write = partial(decode, model, self._tokenizer, [*own.values()], max_new_tokens=tokens)
        texts = dict(zip(own, (decoded.text for decoded in outside_step(trainer, write)), strict=True))
        return {key: text for part in of_all_processes(trainer, texts) for key, text in part.items()}

    def _check_reference(self, plan: AnswerPlan, reference: Outcomes) -> None:
        """Checks that the reference was asked the same.

        Raises:
            InputError: it was not.
        """
        for name, one in plan.sets.items():
            other = reference.get(name)
            if other is None or (other["fingerprint"], other["row"]) != (
                one.fingerprint,
                [row.asked.number for row in one.rows],
            ):
                raise InputError(
                    f"AnswerEvaluation.reference: {self.reference} was not asked the rows of {name!r} in data.answers; "
                    "evaluate the retain-only model on the same data"
                )


def _asking(data: object) -> AsksForAnswers:
    """The DataModule, if it has answers to score."""
    if not isinstance(data, AsksForAnswers):
        raise InputError(
            f"AnswerEvaluation: {type(data).__name__} has no answers; use an UnlearnDataModule, or remove the callback"
        )
    return data
