"""Prompts answered before, during and after training."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from transformers import PreTrainedTokenizerBase

from lit_unlearn.callbacks.asked_module import held_model, named_source
from lit_unlearn.callbacks.own_file import OwnFile
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.protocols import HasEvaluation, datamodule_of
from lit_unlearn.questions.generations import Answer, Generation, generations_table, header, markdown, rows
from lit_unlearn.questions.prompts import from_questions, from_texts, with_answers
from lit_unlearn.questions.sets import Variant
from lit_unlearn.questions.source import Question
from lit_unlearn.running.decoding import decode
from lit_unlearn.runs import layout
from lit_unlearn.runs.shown import Shown


@runtime_checkable
class HasAskedQuestions(Protocol):
    """A DataModule that says what it asks."""

    @property
    def asked(self) -> Mapping[Variant, Sequence[Question]]:
        """The questions of every evaluation set, as they are and perturbed."""


_NOTHING = "Generations: there is nothing to ask; set data.evaluation.questions, or this callback's prompts"


class Generations(Shown, L.Callback):
    """Shows what the model answers to a few prompts before training, at every validation, and after training.

    The prompts are some questions of each set of the DataModule (`data.evaluation`), without their options, so that the
    answer is in the model's own words; the same questions as each perturbation asks them, with options; and prompts of
    the user's own. The updated model continues them, always with the likeliest token.

    It writes `generations.json` into the run's folder, prints the first and the last answers side by side at the end,
    and hands this table to the loggers that take text: TensorBoard and Weights & Biases. Other loggers get nothing. In
    `validate` and `test` it shows the answers of the model as it is.

    Args:
        questions: how many of each question set, evenly spread over it.
        prompts: texts to continue, by a name for each group of them, e.g. `{"forget": ["The symptoms are"]}`.
        max_new_tokens: tokens of each answer.

    Raises:
        InputError: there is nothing to ask, a number that cannot be, or a model without a tokenizer; before training.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(
        self, questions: int = 2, prompts: dict[str, list[str]] | None = None, *, max_new_tokens: int = 24
    ) -> None:
        for name, value, least in (("questions", questions, 0), ("max_new_tokens", max_new_tokens, 1)):
            check_at_least(f"Generations.{name}", value, least)
        for name, texts in (prompts or {}).items():
            if not all(text.strip() for text in texts):
                raise InputError(f"Generations.prompts: one of {name!r} is empty; write a text to continue")
        self.questions = questions
        self.prompts = prompts or {}
        self.max_new_tokens = max_new_tokens
        self.generations: list[Generation] = []
        self._file = OwnFile("Generations", layout.GENERATIONS)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks, before training, that there is something to ask and someone to answer."""
        data = datamodule_of(trainer)
        asked = data.asked if isinstance(data, HasAskedQuestions) else {}
        found = [*from_questions(asked, self.questions), *from_texts(self.prompts)]
        if not found:
            raise InputError(_NOTHING)
        self.generations = with_answers(found, self.generations)
        self._tokenizer = self._own_tokenizer(pl_module)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that there is something to ask.

        Raises:
            InputError: there is not.
        """
        if isinstance(data, HasEvaluation) and data.evaluation is None and not from_texts(self.prompts):
            raise InputError(_NOTHING)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the results of no other run would be lost."""
        self._file.check(trainer)

    on_test_start = on_validation_start

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks before training; a resumed run has been asked then."""
        self._file.check(trainer)
        if not all(generation["answers"] for generation in self.generations):
            self._ask(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks after this number of steps."""
        if not trainer.sanity_checking:
            self._ask(trainer, pl_module)

    on_test_epoch_end = on_validation_epoch_end

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks after training, unless a validation has just done so."""
        if any(generation["answers"][-1]["step"] != trainer.global_step for generation in self.generations):
            self._ask(trainer, pl_module)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Prints the first and the last answers."""
        if trainer.is_global_zero and any(generation["answers"] for generation in self.generations):
            print_lines(f"\n{generations_table(self.generations)}")

    def state_dict(self) -> dict[str, Any]:
        """The answers so far, so that a resumed run's are whole."""
        return {"generations": json.dumps(self.generations)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues after the answers of the interrupted run."""
        self.generations = with_answers(self.generations, json.loads(state_dict["generations"]))

    def _ask(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds the answers of this step, which all processes find, and hands them on from one."""
        step, asked = trainer.global_step, [generation["prompt"] for generation in self.generations]
        model, tokens = held_model(self, pl_module), self.max_new_tokens
        answer = partial(decode, model, self._tokenizer, asked, max_new_tokens=tokens)
        said = outside_step(trainer, answer)
        for generation, decoded in zip(self.generations, said, strict=True):
            earlier = [answer for answer in generation["answers"] if answer["step"] < step]
            generation["answers"] = [*earlier, Answer(step=step, text=decoded.text)]
        if trainer.is_global_zero:
            self._file.write(trainer, json.dumps(self.generations, indent=1))
            self._log(trainer)

    def _own_tokenizer(self, module: L.LightningModule) -> PreTrainedTokenizerBase:
        """The tokenizer that comes with the model."""
        source = named_source(self, module)
        try:
            return load_tokenizer(source)
        except InputError as error:
            raise InputError(
                f"Generations: {source.pretrained!r} comes without a tokenizer that can be loaded, so it cannot write; "
                "put one beside the model, or remove the callback"
            ) from error

    def _log(self, trainer: L.Trainer) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("generations", markdown(self.generations), trainer.global_step)
            elif isinstance(logger, WandbLogger):
                columns, data = header(self.generations), rows(self.generations)
                logger.log_text("generations", columns=columns, data=data, step=trainer.global_step)
