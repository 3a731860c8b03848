"""The model under attack: how it is loaded, on what data it is evaluated."""

from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import lightning as L
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.attack.answers import Answers, measures
from lit_unlearn.commands.fit.checks import check_devices, named_trainer
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.question import QuestionModule
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.sets import DEFAULT, Variant, asked_together
from lit_unlearn.questions.source import Question
from lit_unlearn.questions.statistics import Estimate


class Target:
    """A model, on one device, and the questions that it is asked. Nothing is loaded before it is needed.

    Args:
        source: where the model comes from.
        base: the same of the model before unlearning; None where it is not known.
        data: the questions and the streams.
        forget: names of the question sets that are to be forgotten.
        trainer: options of the Trainer, `accelerator` and `precision`.
    """

    def __init__(
        self,
        source: ModelSource,
        base: ModelSource | None,
        data: UnlearnDataModule,
        *,
        forget: Collection[str],
        trainer: Mapping[str, Any],
    ) -> None:
        self.source = source
        self.base = base
        self.forget = tuple(forget)
        self._given = data
        self._trainer = dict(trainer)

    @property
    def precision(self) -> str:
        """The Trainer's."""
        return str(self._trainer["precision"])

    @cached_property
    def data(self) -> UnlearnDataModule:
        """The data, ready: rows are tokenised, questions drawn and encoded."""
        trainer, module = self.trainer(), QuestionModule(self.source.given, revision=self.source.revision)
        trainer.strategy.connect(module)
        self._given.trainer = trainer
        self._given.prepare_data()
        self._given.setup("validate")
        return self._given

    @property
    def asked(self) -> dict[Variant, list[Question]]:
        """The questions of every set, as they are, perturbed and under control."""
        return self.data.asked

    @property
    def sets(self) -> dict[str, list[Question]]:
        """The questions of every set as they are, by its name."""
        return {variant.questions: found for variant, found in self.asked.items() if variant.perturbation == DEFAULT}

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own."""
        return load_tokenizer(self.source)

    def check(self) -> None:
        """Checks that there is such a model, without its weights.

        Raises:
            InputError: there is none, or the one before unlearning is not there.
        """
        for source in filter(None, (self.source, self.base)):
            loading.load_config(source)

    def load(self) -> PreTrainedModel:
        """The model, read again each time, so that whoever loads it may change it; nothing of it is trainable."""
        return self._load(self.source)

    def load_base(self) -> PreTrainedModel:
        """The model before unlearning, likewise.

        Raises:
            InputError: it is not known.
        """
        if self.base is None:
            raise InputError(
                f"attack: {self.source.given} does not say which model it was before unlearning; give --base MODEL"
            )
        return self._load(self.base)

    def load_other(self, source: ModelSource) -> PreTrainedModel:
        """Any other model, likewise, such as one that has never seen what is to be forgotten."""
        return self._load(source)

    def trainer(self, **options: Any) -> L.Trainer:
        """A Trainer for the config's accelerator and precision, on one device, which leaves nothing on disk.

        Raises:
            InputError: this machine has no such accelerator.
        """
        with named_trainer():
            check_devices(Namespace(**self._trainer, devices=1))
            return L.Trainer(
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                **self._trainer,
                **options,
            )

    def evaluate(
        self,
        model: PreTrainedModel,
        *,
        asked: Mapping[Variant, Sequence[Question]] | None = None,
        change: Callable[[Query | Cloze], Query | Cloze] | None = None,
    ) -> dict[str, Estimate]:
        """The measures of a model: what it answers, and how likely it finds held-out rows.

        Args:
            model: from `load`, changed or not; hooks on it act.
            asked: other questions than the data's own, by variant; held-out rows are not looked at then.
            change: takes the token ids of a question, returns those that are asked; where `asked` is given.

        Raises:
            Diverged: its logits are not numbers.
        """
        module = QuestionModule(self.source.given, revision=self.source.revision)
        module.adopt(model, self.precision)
        loaders = self.loaders() if asked is None else self.data.loaders_of(asked, change)
        answers = Answers(self.data.evaluation_sets if asked is None else asked_together(asked))
        self.trainer(callbacks=[answers]).validate(module, dataloaders=loaders, verbose=False)
        found, held_out = answers.found[-1]
        return measures(found, held_out, forget=self.forget)

    def loaders(self) -> list[Any]:
        """Evaluation loaders of all that the data asks, in the order of its `evaluation_sets`."""
        return self.data.val_dataloader()

    def _load(self, source: ModelSource) -> PreTrainedModel:
        model = loading.load_model(source, weights_dtype(self.precision))
        device: Any = self.trainer().strategy.root_device
        return cast(PreTrainedModel, model.to(device))


def of_other_model(target: Target, source: ModelSource, base: ModelSource | None) -> "Target":
    """The same data and Trainer with another model, whose tokenizer must be the same.

    Raises:
        InputError: it is not.
    """
    first, other = load_tokenizer(target.source), load_tokenizer(source)
    if first.get_vocab() != other.get_vocab():
        raise InputError(
            f"attack: {source.given} has another tokenizer than {target.source.given}; make a card for each"
        )
    return _SharingTarget(source, base, target)


class _SharingTarget(Target):
    """A target with the data of another."""

    def __init__(self, source: ModelSource, base: ModelSource | None, first: Target) -> None:
        super().__init__(source, base, first._given, forget=first.forget, trainer=first._trainer)
        self._first = first

    @property
    def data(self) -> UnlearnDataModule:
        """The first one's, which is made ready once."""
        return self._first.data
