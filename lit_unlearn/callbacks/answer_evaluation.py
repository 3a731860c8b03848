"""Free answers, before, during and after training: the metrics of TOFU, MUSE and RWKU."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import lightning as L
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from lit_unlearn.answers.answers_table import answers_table
from lit_unlearn.answers.intervals import with_intervals
from lit_unlearn.answers.measures import log_values, measure
from lit_unlearn.answers.outcomes import PREFIX, Outcomes, outcomes, token_values
from lit_unlearn.answers.plan import NO_ANSWERS, AnswerPlan
from lit_unlearn.answers.reference import load_reference
from lit_unlearn.callbacks.asked_module import named_source
from lit_unlearn.callbacks.evaluation import EvaluationCallback, Found, of_all_processes, on_cpu
from lit_unlearn.callbacks.written_answers import (
    CLASSIFIER,
    Key,
    add_gradient_norms,
    check_room,
    clean_under,
    perplexities_under,
    written_answers,
)
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models.classifier import clean_label
from lit_unlearn.models.loading import load_config
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.protocols import HasAnswers, datamodule_of

_LEAST_SAMPLES = 100
"""Of a bootstrap, whose ends are the 2.5 % and 97.5 % quantiles."""


@runtime_checkable
class AsksForAnswers(Protocol):
    """A DataModule with questions that have free answers."""

    def plan_answers(self) -> AnswerPlan:
        """Adds an evaluation loader of the answers that are scored, and says what is in it."""


@runtime_checkable
class KnowsRetrainedAUC(Protocol):
    """A DataModule for which AUCs of retain-only models are published."""

    def check_retrained_auc(self, value: float) -> None:
        """Raises InputError where the AUC is that of other rows."""


class AnswerEvaluation(EvaluationCallback):
    """Scores the right and other answers to the questions of `data.answers`, and has the model write its own.

    Of each set, with standard errors over rows: the answer's probability; the truth ratio, of rows to forget
    min(R, 1/R), else max(0, 1 - R), where right answers in other words and wrong answers are given; ROUGE-L of what the
    model writes; extraction strength and exact memorisation; the membership scores LOSS, zlib, Min-K % and Min-K %++.
    Of what it writes: repetition, n-gram entropy and the rate of gibberish. Of all sets: model utility (the harmonic
    mean over retain and general sets); with a holdout set, how well Min-K % tells forget rows from unseen ones, and
    likelihood against that before training; with a reference, forget quality and PrivLeak. docs/answers.md has the
    formulas.

    It prints a table, logs (`val/answers/forget/probability`, `val/answers/model_utility`,
    `val/answers/forget_quality`, …), and writes `results.json` into the run's folder, alone or together with the other
    callbacks that evaluate, with all values by row and the answers that were written.

    It works with any LightningModule whose `validation_step` returns `AnswerScores` for a batch with `answers`, as
    UnlearnModule and QuestionModule do.

    Args:
        reference: folder of an evaluation of the retain-only model on the same data, for forget quality and PrivLeak.
        retrained_auc: the AUC of Min-K % of the retain-only model where it is published (of MUSE 0.4772 for news,
            0.5393 for books), for PrivLeak without a reference.
        max_new_tokens: tokens of each written answer, of sets that do not say; 0 writes none of any set, so that there
            is no ROUGE and no model utility.
        bootstrap: samples of 95 % intervals, drawn over rows, such as 10000; 0 gives standard errors alone.
        gradient_norm: of forget and holdout rows also the norm of the loss' gradient, one more membership score; takes
            a backward for each and memory for a gradient of the whole model.
        judge: hub name or folder of a model under which the perplexity of what is written says whether it is gibberish,
            such as the base; it is loaded for each evaluation. None counts repetition alone.
        classifier: hub name or folder of a sequence classifier with a label `clean`, such as
            madhurjindal/autonlp-Gibberish-Detector-492513457, as open-unlearning takes; its probability says whether
            what is written is gibberish, instead of `judge` and repetition; it is loaded for each evaluation.

    Raises:
        InputError: the data has no such questions, or no forget and holdout sets for an option that compares them; a
            question and what is written after it do not fit into the model; the reference has other rows;
            `retrained_auc` is of other data; training would end without an evaluation; or the gradient of a sharded
            model is asked for.
    """

    def __init__(
        self,
        reference: str | None = None,
        *,
        retrained_auc: float | None = None,
        max_new_tokens: int = 200,
        bootstrap: int = 0,
        gradient_norm: bool = False,
        judge: str | None = None,
        classifier: str | None = None,
    ) -> None:
        super().__init__()
        check_at_least("AnswerEvaluation.max_new_tokens", max_new_tokens, 0)
        if bootstrap and bootstrap < _LEAST_SAMPLES:
            raise InputError(
                f"AnswerEvaluation.bootstrap: must be at least {_LEAST_SAMPLES}, or 0 for no intervals, got {bootstrap}"
            )
        for option, model in (("judge", judge), ("classifier", classifier)):
            if model is not None and not max_new_tokens:
                raise InputError(
                    f"AnswerEvaluation.{option}: nothing is written that it could read; set max_new_tokens"
                )
        if retrained_auc is not None and (reference is not None or not 0 < retrained_auc <= 1):
            raise InputError(
                f"AnswerEvaluation.retrained_auc: {retrained_auc} with reference {reference}; give a number above 0, "
                "at most 1, and no reference, whose own is taken"
            )
        self.reference = reference
        self.retrained_auc = retrained_auc
        self.max_new_tokens = max_new_tokens
        self.bootstrap = bootstrap
        self.gradient_norm = gradient_norm
        self.judge = judge
        self.classifier = classifier
        self._reference: Outcomes | None = None
        self._plan: AnswerPlan | None = None
        self._seen: list[Mapping[str, Tensor]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Has the DataModule render what is scored, compares the reference's rows, and evaluates before training."""
        data = datamodule_of(trainer)
        self._check(trainer, data)
        self._plan = _asking(data).plan_answers()
        if self.reference is not None:
            self._reference = load_reference(self.reference)
            self._check_reference(self._plan, self._reference)
        if self.max_new_tokens:
            source = named_source(self, pl_module)
            self._tokenizer = load_tokenizer(source)
            limit = getattr(load_config(source).get_text_config(), "max_position_embeddings", None)
            if limit is not None:
                check_room(self._plan, limit, max_new_tokens=self.max_new_tokens)
        super().setup(trainer, pl_module, stage)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that there are answers to score, by a model that can be asked so."""
        self._check(trainer, data)
        super().check_options(trainer, pl_module, data)

    def _keep(self, outputs: Mapping[str, Any], batch: Any, dataloader_idx: int) -> None:
        if "mean_logprob" in outputs:
            self._seen.append(on_cpu(outputs))

    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        own, self._seen = token_values(self._seen), []
        values = {number: found for part in of_all_processes(trainer, own) for number, found in part.items()}
        assert self._plan is not None
        written = self._written(trainer, self._plan)
        perplexities, clean = (
            self._judged(trainer, written, model, judged)
            for model, judged in ((self.judge, perplexities_under), (self.classifier, clean_under))
        )
        found = outcomes(self._plan, values, written, perplexities, clean)
        if not found:  # of some batches
            return Found({}, {}, "AnswerEvaluation: too few batches to measure anything")
        if self.gradient_norm:
            add_gradient_norms(self, trainer, self._plan, found)
        measured = measure(found, self._reference, _before(evaluations), retrained_auc=self.retrained_auc)
        if self.bootstrap:
            measured = with_intervals(
                measured, found, self._reference, samples=self.bootstrap, retrained_auc=self.retrained_auc
            )
        record = {"measured": measured, "outcomes": found, **self._counted_with()}
        return Found({PREFIX: record}, log_values(measured), answers_table(measured, found))

    def _counted_with(self) -> dict[str, float]:
        """What the numbers depend on beside the rows, so that they can be counted again."""
        told = {"bootstrap": self.bootstrap, "retrained_auc": self.retrained_auc}
        return {name: value for name, value in told.items() if value}

    def _written(self, trainer: L.Trainer, plan: AnswerPlan) -> dict[Key, str] | None:
        if not self.max_new_tokens:
            return None
        return written_answers(self, trainer, plan, self._tokenizer, max_new_tokens=self.max_new_tokens)

    def _judged(
        self,
        trainer: L.Trainer,
        written: dict[Key, str] | None,
        model: str | None,
        judged: Callable[[str, L.Trainer, list[str]], list[float]],
    ) -> dict[Key, float] | None:
        """What another model says of what is written, which one process loads for the time of it."""
        if model is None or not written:
            return None
        values = judged(model, trainer, [*written.values()]) if trainer.is_global_zero else []
        return dict(zip(written, trainer.strategy.broadcast(values), strict=True))

    def _check(self, trainer: L.Trainer, data: object) -> None:
        """Checks all options against the data and the strategy.

        Raises:
            InputError: they do not fit together.
        """
        _asking(data)
        if self.gradient_norm and isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy):
            raise InputError(
                "AnswerEvaluation.gradient_norm: no process holds the whole model under this strategy; set it to "
                "false, or evaluate the export on one device by `lit-unlearn validate`"
            )
        if self.judge is not None:
            load_config(ModelSource(self.judge))
        if self.classifier is not None:
            clean_label(self.classifier, CLASSIFIER)
        if isinstance(data, HasAnswers) and not data.answers:
            raise InputError(NO_ANSWERS)
        self._check_compared(data)

    def _check_compared(self, data: object) -> None:
        """Checks that there are sets to compare for the options that do so, and the AUC of their rows.

        Raises:
            InputError: there are none, or it is another's.
        """
        answers = data.answers if isinstance(data, HasAnswers) else None
        roles = {one.role for one in answers.values()} if isinstance(answers, Mapping) else {"forget", "holdout"}
        for option, value in (("retrained_auc", self.retrained_auc), ("gradient_norm", self.gradient_norm)):
            if value and not {"forget", "holdout"} <= roles:
                raise InputError(
                    f"AnswerEvaluation.{option}: it compares forget and holdout sets, data.answers has roles "
                    f"{', '.join(sorted(roles))}; add such a set, or remove {option}"
                )
        if self.retrained_auc is not None and isinstance(data, KnowsRetrainedAUC):
            data.check_retrained_auc(self.retrained_auc)

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


def _before(evaluations: Sequence[Mapping[str, Any]]) -> Outcomes | None:
    """The outcomes before training, of an evaluation after it."""
    first = evaluations[0]
    if len(evaluations) == 1 or first["step"] != 0 or PREFIX not in first:
        return None
    return cast(Outcomes, first[PREFIX]["outcomes"])
