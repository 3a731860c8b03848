"""What a Trainer's model writes as its own answers, and other runs of it that free answers need outside a step."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar, cast

import lightning as L
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.answers.classified import clean_probabilities
from lit_unlearn.answers.judged import perplexities
from lit_unlearn.answers.measures import compared_sets
from lit_unlearn.answers.outcomes import Outcomes
from lit_unlearn.answers.plan import AnswerPlan, PlannedSet
from lit_unlearn.callbacks.asked_module import held_model
from lit_unlearn.callbacks.evaluation import of_all_processes
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.classifier import clean_label, load_classifier
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.precision import named_precision, weights_dtype
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.pretrained import PretrainedModule
from lit_unlearn.questions.scored_texts import ScoredText
from lit_unlearn.running.decoding import decode
from lit_unlearn.running.gradient_norm import gradient_norm

CLASSIFIER = "AnswerEvaluation.classifier"
Key = tuple[str, int]
"""A set, and a row's place in its source."""
_Asked = TypeVar("_Asked")
_Value = TypeVar("_Value")


def written_answers(
    callback: L.Callback,
    trainer: L.Trainer,
    plan: AnswerPlan,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_new_tokens: int,
) -> dict[Key, str]:
    """The model's own answers to all questions, each up to what ends it.

    Args:
        callback: that asks, for errors.
        trainer: of the run.
        plan: what is asked.
        tokenizer: the model's.
        max_new_tokens: of the sets that do not say.
    """
    model = held_model(callback, trainer.lightning_module)
    by_length: dict[int, dict[Key, tuple[int, ...]]] = defaultdict(dict)
    for name, one in plan.sets.items():
        if tokens := _tokens(one, max_new_tokens):
            by_length[tokens] |= {(name, row.asked.number): row.prompt for row in one.rows}
    texts: dict[Key, str] = {}
    for tokens, asked in by_length.items():
        write = partial(_decoded, model, tokenizer, tokens)
        texts |= shared_out(trainer, asked, write)
    return {key: stopped(text, plan.sets[key[0]]) for key, text in texts.items()}


def check_room(plan: AnswerPlan, limit: int, *, max_new_tokens: int) -> None:
    """Checks that each question and what is written after it fit into the model: a prompt would lose its beginning.

    Args:
        plan: what is asked.
        limit: positions of the model.
        max_new_tokens: of the sets that do not say.

    Raises:
        InputError: one does not fit.
    """
    for name, one in plan.sets.items():
        longest = max(one.rows, key=lambda row: len(row.prompt))
        tokens, prompt = _tokens(one, max_new_tokens), len(longest.prompt)
        if tokens and prompt + tokens > limit:
            raise InputError(
                f"data.answers.{name}: row {longest.asked.number + 1} has {prompt} tokens, {tokens} are written after "
                f"it, the model has {limit} positions; write fewer (max_new_tokens), or shorten or remove the row"
            )


def _tokens(one: PlannedSet, max_new_tokens: int) -> int:
    """How many are written after each question of a set; 0 where there are none."""
    if one.texts_alone:
        return 0
    return max_new_tokens if one.max_new_tokens is None else one.max_new_tokens


def shared_out(
    trainer: L.Trainer, asked: Mapping[Key, _Asked], run: Callable[[Sequence[_Asked]], list[_Value]]
) -> dict[Key, _Value]:
    """Runs the model on all; where every process holds the whole model, each runs it on its share.

    Args:
        trainer: of the run.
        asked: what it is run on.
        run: gives a value for each.
    """
    module = trainer.lightning_module
    alone = isinstance(module, PretrainedModule) and not module.is_sharded()
    rank, world = (trainer.global_rank, trainer.world_size) if alone else (0, 1)
    own = dict([*asked.items()][rank::world])
    values = dict(zip(own, outside_step(trainer, partial(run, [*own.values()])), strict=True))
    return {key: value for part in of_all_processes(trainer, values) for key, value in part.items()}


def stopped(text: str, of: PlannedSet) -> str:
    """A written text up to what ends it.

    Args:
        text: by the model.
        of: the set that says what does.
    """
    for mark in of.stop:
        text = text.partition(mark)[0]
    return text


def add_gradient_norms(callback: L.Callback, trainer: L.Trainer, plan: AnswerPlan, found: Outcomes) -> None:
    """Adds, to the sets that membership compares, minus the norm of the gradient of each answer's mean loss.

    Args:
        callback: that asks, for errors.
        trainer: of the run.
        plan: what was asked.
        found: the outcomes, to whose rows it is added.
    """
    model = held_model(callback, trainer.lightning_module)
    layers = decoder_layers(model, getattr(trainer.lightning_module, "decoder_layers", None))
    names = [name for names in compared_sets(found) for name in names]
    texts = {
        (name, row.asked.number): plan.texts[row.answer]
        for name in names
        for row in plan.sets[name].rows
        if row.answer is not None
    }
    norms = shared_out(trainer, texts, partial(_norms, model, layers))
    for name in names:
        found[name]["gradient_norm"] = [-norms[name, row] for row in found[name]["row"]]


def perplexities_under(judge: str, trainer: L.Trainer, texts: Sequence[str]) -> list[float]:
    """The perplexity of each text under another model, which is loaded beside the Trainer's and let go.

    Args:
        judge: hub name or folder.
        trainer: of the run, whose precision and device are taken.
        texts: written ones.
    """
    source = ModelSource(judge)
    model = load_model(source, weights_dtype(named_precision(trainer.precision)))
    model.eval().to(trainer.strategy.root_device)
    return perplexities(model, decoder_layers(model), load_tokenizer(source), texts)


def clean_under(classifier: str, trainer: L.Trainer, texts: Sequence[str]) -> list[float]:
    """The probability that each text is clean under a classifier, which is loaded for the time of it.

    Args:
        classifier: hub name or folder.
        trainer: of the run, whose device is taken.
        texts: written ones.

    Raises:
        InputError: it cannot be loaded.
    """
    model = load_classifier(classifier, CLASSIFIER)
    nn.Module.to(model, trainer.strategy.root_device)
    label = clean_label(classifier, CLASSIFIER)
    return clean_probabilities(model, load_tokenizer(ModelSource(classifier)), texts, label)


def _norms(model: PreTrainedModel, layers: nn.ModuleList, texts: Sequence[ScoredText]) -> list[float]:
    found = []
    for text in texts:
        unscored = frozenset(range(len(text.input_ids) - text.scored))
        batch = collate([Row([*text.input_ids], 0, 0, prompt=unscored)], padding_side="right", padding_id=0)
        own = {name: value.to(model.device) for name, value in batch.items()}  # type: ignore[attr-defined]
        found.append(gradient_norm(model, layers, cast(Batch, own)))
    return found


def _decoded(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: int, prompts: Sequence[tuple[int, ...]]
) -> list[str]:
    found = decode(model, tokenizer, [*prompts], max_new_tokens=tokens)
    return [one.text for one in found]
