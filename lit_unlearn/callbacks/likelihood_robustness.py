"""What forget text in retain rows costs, by the likelihood of what follows: no questions are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import lightning as L
from torch import Tensor

from lit_unlearn.callbacks.evaluation import EvaluationCallback, Found, of_all_processes, on_cpu
from lit_unlearn.errors import InputError
from lit_unlearn.modules.protocols import HasHoldout, datamodule_of
from lit_unlearn.questions import excess
from lit_unlearn.questions.excess import PREFIX
from lit_unlearn.questions.insertions import NONE_HELD_OUT, Insertions, Plan
from lit_unlearn.questions.spans import SENTENCE, WORD, Span


@runtime_checkable
class TakesInsertions(Protocol):
    """A DataModule that can put forget text into retain rows."""

    def insert(self, insertions: Insertions) -> Plan:
        """Adds an evaluation loader of what is scored, and says what that is.

        Args:
            insertions: what is inserted.
        """


class LikelihoodRobustness(EvaluationCallback):
    """Puts forget text into held-out retain rows and scores what follows: before training, at every validation, after.

    A row is cut where a word begins, after 4 to 16 tokens, and 48 tokens that follow are scored. Cost is their negative
    log-likelihood per token after a span of forget text, minus that without it. Excess is that cost minus the cost of a
    span of retain text with as many tokens, the control. Damage is the excess minus that before training. Spans are of
    forget rows that are trained on and, apart, of held-out ones; control spans are of retain rows that are trained on.
    Forgetting is the negative log-likelihood of tokens 25 to 96 of held-out forget rows. Rows have to be held out
    (`data.holdout`); rows, places and spans are the same for any number of processes.

    It prints a table, logs, and writes `results.json` into the run's folder, alone or together with
    PerturbationRobustness. Logged for each span and origin: `val/insert/16-gram/trained/excess`, `…/excess_share` (of
    rows above 0.5), `…/excess_1-8`, `…/excess_9-24` and `…/excess_25-48` (by distance from the insertion, in tokens),
    `…/cost`, `…/control`, after training began `…/damage` and `…/damage_share`; and `val/insert/forget/nll` and
    `val/insert/retain/nll`.

    It works with any LightningModule whose `validation_step` returns `{"text": int [texts], "token_nll": float
    [texts, tokens]}` for a batch with `texts`, as UnlearnModule and QuestionModule do.

    Args:
        rows: held-out retain rows into which is inserted, and held-out forget rows that are scored, drawn by the seed;
            all where there are fewer.
        spans: what is inserted: n-grams by their numbers of tokens, `word`, one of the words most typical of forget
            rows against retain rows, and `sentence`, a sentence of 6 to 32 tokens.
        seed: of all draws. Choose hyperparameters on one, report on another.

    Raises:
        InputError: no rows are held out, or they are too short, or training would end without an evaluation.
    """

    def __init__(self, rows: int = 40, spans: Sequence[Span] = (WORD, 4, 16, SENTENCE), *, seed: int = 0) -> None:
        super().__init__()
        self.insertions = Insertions(rows, tuple(spans), seed)
        self._plan: Plan | None = None
        self._seen: list[Mapping[str, Tensor]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Has the DataModule insert, and evaluates before training."""
        self._plan = _inserting(datamodule_of(trainer)).insert(self.insertions)
        super().setup(trainer, pl_module, stage)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that there are rows into which it is inserted."""
        _inserting(data)
        if isinstance(data, HasHoldout) and not data.holdout:
            raise InputError(NONE_HELD_OUT)
        super().check_options(trainer, pl_module, data)

    def _arguments(self) -> Mapping[str, Any]:
        return asdict(self.insertions)

    def _keep(self, outputs: Mapping[str, Any], batch: Any, dataloader_idx: int) -> None:
        if "token_nll" in outputs:
            self._seen.append(on_cpu(outputs))

    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        own, self._seen = excess.token_values(self._seen), []
        values = {number: found for part in of_all_processes(trainer, own) for number, found in part.items()}
        assert self._plan is not None
        found = excess.outcomes(self._plan, values)
        if found is None:  # of some batches
            return Found({}, {}, "LikelihoodRobustness: too few batches to compare anything")
        base = evaluations[0].get(PREFIX) if len(evaluations) > 1 and evaluations[0]["step"] == 0 else None
        measured = excess.measure(found, base and base["outcomes"])
        rows = len(found["retain"]["row"])
        return Found(
            {PREFIX: {"seed": self.insertions.seed, "measured": measured, "outcomes": found}},
            excess.log_values(measured),
            excess.excess_table(measured, rows),
        )


def _inserting(data: object) -> TakesInsertions:
    """The DataModule, if it puts forget text into retain rows."""
    if not isinstance(data, TakesInsertions):
        raise InputError(
            f"LikelihoodRobustness: {type(data).__name__} does not insert texts; use an UnlearnDataModule, or remove "
            "the callback"
        )
    return data
