"""A model fine-tuned on a few rows: of what was forgotten, of its neighbours, or of unrelated text."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import lightning as L
from torch.optim import AdamW

from lit_unlearn.commands.attack.answers import Answers, measures
from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.fine_tuned_rows import Chosen, FineTuningData, Kind, choose
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import Diverged, InputError, check_at_least
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.losses.relearning import Relearning
from lit_unlearn.models.lora import Lora, check_installed
from lit_unlearn.modules.divergence_guard import DivergenceGuard
from lit_unlearn.modules.unlearn import UnlearnModule

_TITLES = {
    "other": "relearning, {count} rows of other entities",
    "asked": "relearning, {count} rows of asked entities",
    "forget": "relearning, {count} forget rows",
    "retain": "fine-tuning, {count} unrelated rows",
}


class FineTuning(Attack):
    """Trains on a few rows by plain NLL, with each learning rate, and evaluates as it goes.

    Hu et al. 2025, "Unlearning or obfuscating? Jogging the memory of unlearned LLMs via benign relearning". Rows that
    state the answers teach them again, to a model that never knew them as well; only what comes back after rows of
    other entities had been hidden (Feng et al. 2025, arXiv 2506.00688).

    Args:
        rows: `other`: forget rows that name none of the entities that are asked for; `asked`: those that do; of both
            kinds the same half of the forget questions counts, drawn by the seed. `forget`: any forget rows, where all
            questions count; `retain`: rows of the retain stream, unrelated to what was forgotten.
        count: rows.
        learning_rates: each is a setting.
        steps: of training.
        every: steps between evaluations; a divisor of `steps`.
        batch_size: rows of a step at most.
        lora: rank of adapters on all linear modules; None trains `trainable`.
        trainable: regular expressions over parameter names.

    Raises:
        InputError: an option cannot be used.
    """

    random: ClassVar[bool] = True

    def __init__(
        self,
        rows: Kind = "other",
        *,
        count: int = 20,
        learning_rates: Sequence[float] = (3e-4,),
        steps: int = 60,
        every: int = 30,
        batch_size: int = 5,
        lora: int | None = None,
        trainable: Sequence[str] = (".*",),
    ) -> None:
        for name, value in {"count": count, "steps": steps, "every": every, "batch_size": batch_size}.items():
            check_at_least(f"FineTuning.{name}", value, 1)
        if steps % every:
            raise InputError(f"FineTuning.every: {every} does not divide the {steps} steps; give a divisor")
        if not learning_rates or min(learning_rates) <= 0:
            raise InputError(f"FineTuning.learning_rates: {learning_rates} must be numbers above 0; give e.g. [1e-4]")
        if lora is not None:
            check_installed("FineTuning.lora:")
        self.rows = rows
        self.count = count
        self.learning_rates = tuple(learning_rates)
        self.steps = steps
        self.every = every
        self.batch_size = min(batch_size, count)
        self.lora = None if lora is None else Lora(r=lora, lora_alpha=2 * lora, target_modules="all-linear")
        self.trainable = list(trainable)

    @property
    def title(self) -> str:
        """Such as `relearning, 20 rows of other entities, LoRA`."""
        return _TITLES[self.rows].format(count=self.count) + ("" if self.lora is None else ", LoRA")

    def points(self) -> Sequence[Settings]:
        """A point for each learning rate."""
        return [{"lr": rate} for rate in self.learning_rates]

    def cost(self, settings: Settings) -> Cost:
        """Of one training."""
        del settings
        return Cost(evaluations=self.steps // self.every, trained_rows=self.steps * self.batch_size)

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Trains, and evaluates every few steps; a training that diverges ends with that."""
        chosen = choose(target, self.rows, self.count, seed=seed)
        answers = Answers(target.data.evaluation_sets)
        failed = None
        try:
            self._train(target, chosen, settings["lr"], seed, answers)
        except Diverged as error:
            failed = str(error)
        return self._outcomes(target, chosen, settings, answers, failed)

    def _train(self, target: Target, chosen: Chosen, rate: float, seed: int, answers: L.Callback) -> None:
        module = UnlearnModule(
            target.source.given,
            Relearning(),
            NoLoss(),
            layer=0,  # up to here the one row runs that is not trained on
            trainable=None if self.lora else self.trainable,
            lora=self.lora,
            retain_weight=1.0,
            optimizer=partial(AdamW, lr=rate, weight_decay=0.0, eps=1e-8),
            seed=seed,
            revision=target.source.revision,
        )
        module.adopt(target.load(), target.precision, compared=False)  # a copy of all weights would be a second model
        trainer = target.trainer(callbacks=[answers, DivergenceGuard(tells=False)], **self._trainer_options())
        data = FineTuningData(chosen.rows, target, batch_size=self.batch_size, steps=self.steps, seed=seed)
        trainer.fit(module, datamodule=data)

    def _trainer_options(self) -> dict[str, Any]:
        return {
            "max_steps": self.steps,
            "val_check_interval": self.every,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 0,
        }

    def _outcomes(
        self, target: Target, chosen: Chosen, settings: Settings, answers: Answers, failed: str | None
    ) -> Iterator[Outcome]:
        for place, (asked, held_out) in enumerate(answers.found, start=1):
            found = measures(asked, held_out, forget=target.forget, only=chosen.questions)
            yield Outcome({**settings, "steps": place * self.every}, found)
        if failed is not None:
            yield Outcome(settings, failed=failed)
