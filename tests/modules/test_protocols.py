from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from lit_unlearn import Generations, LMEvalHarness, PerturbationRobustness, QuestionModule, UnlearnDataModule
from lit_unlearn.callbacks.generations import HasAskedQuestions
from lit_unlearn.callbacks.robustness import HasEvaluationSets
from lit_unlearn.datamodules.base import SaysNeedsPreferred
from lit_unlearn.modules.hyperparameters import HasHyperparameters, hyperparameters_of
from lit_unlearn.modules.protocols import HasEvaluation, HasHoldout, HasTopics, HasVocabulary, SaysNeedsLogits
from lit_unlearn.modules.unlearn import UnlearnModule
from tests.training import demo_data, demo_module

Data = tuple[HasTopics, HasVocabulary, HasEvaluation, HasHoldout, HasEvaluationSets, HasAskedQuestions]


def answers(data: UnlearnDataModule) -> tuple[Data, HasHyperparameters]:
    """Type-checked: a DataModule of ours has all that is asked of it."""
    return (data, data, data, data, data, data), data


def says(module: UnlearnModule) -> tuple[HasHyperparameters, SaysNeedsPreferred]:
    """Likewise a module of ours."""
    return module, module


def needing_logits() -> Sequence[SaysNeedsLogits]:
    """Likewise the callbacks of ours that run the whole model."""
    return [PerturbationRobustness(), Generations(), LMEvalHarness(["mmlu_local"])]


def test_our_datamodule_answers_what_is_asked(world: Path) -> None:
    data = demo_data(world, tokenizer=str(world / "model"))
    data.prepare_data()
    data.setup("fit")
    assert answers(data)[1] is data
    for asked in (HasTopics, HasVocabulary, HasEvaluation, HasHoldout, HasEvaluationSets, HasAskedQuestions):
        assert isinstance(data, asked)
    assert hyperparameters_of(data) == data.hyperparameters()


def test_our_module_says_what_it_reads(world: Path) -> None:
    module = demo_module(world)
    assert says(module) == (module, module)
    assert isinstance(module, SaysNeedsPreferred)


def test_our_callbacks_that_run_the_whole_model_say_so(world: Path) -> None:
    module = demo_module(world)
    assert not module.needs_whole_model(None, [L.Callback()])
    for callback in needing_logits():
        assert module.needs_whole_model(None, [L.Callback(), callback])


class Topics(L.LightningDataModule):
    """A user's own DataModule, which answers one question alone."""

    topics = ("alchemy", "navigation")


@pytest.mark.parametrize("data", [None, L.LightningDataModule(), Topics()])
def test_a_datamodule_of_the_users_own_need_not_answer(data: Any, world: Path) -> None:
    assert not demo_module(world).needs_whole_model(data, ())
    QuestionModule(str(world / "model")).check_data(data)
    assert hyperparameters_of(data) == {}
