"""Scores of the options of multiple-choice questions, and what they say."""

import inspect
from typing import NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from lit_unlearn.errors import Diverged
from lit_unlearn.losses.by_token import Measure, by_token
from lit_unlearn.losses.contract import Batch, Logits
from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.losses.lazy_logits import LazyLogits
from lit_unlearn.models.layers import decoder_layers, decoder_of
from lit_unlearn.questions.answer_texts import TextRows
from lit_unlearn.questions.batches import QueryBatch
from lit_unlearn.questions.cloze import ClozeBatch
from lit_unlearn.questions.packing import Packed, parts_of
from lit_unlearn.running.partial_forward import lazy_logits, positions, run_layers
from lit_unlearn.running.shared_attention import shares, sharing

_AT_ONCE = 2**24
"""Logits whose softmax is taken at a time."""


class Evaluation(TypedDict):
    """What came out for the valid rows of a batch, `[rows]` each."""

    correct: Tensor
    """bool."""
    prediction: Tensor
    """Index of the likeliest option."""
    number: Tensor
    """The question's number in its set."""
    letter_logprob: NotRequired[Tensor]
    """float32, log-probability of the right option's letter over the whole vocabulary, in nats; where letters are
    asked for."""
    text_logprob: NotRequired[Tensor]
    """float32, log-probability of the right option's text after the question without options, summed over its tokens,
    in nats; NaN where it is not asked for."""
    correct_norm: NotRequired[Tensor]
    """bool, as `correct` of the option that is likeliest per character; where options are scored as texts."""
    prediction_norm: NotRequired[Tensor]
    """Index of that option."""


def choice_scores(model: PreTrainedModel, batch: QueryBatch) -> Tensor:
    """Log-probabilities of the options' letters after each prompt: float32 `[batch, options]`, -inf where is none.

    What prompts have in common at their beginning runs once, in models for which that is the same.

    Differs from the harness: the softmax is in float32 whatever the model's dtype.
    """
    packed = batch.get("packed")
    if packed is None or not shares(model.config):
        logits = _last_logits(model, batch)
    else:
        logits = _packed_logits(model, packed)[0, packed["last"]]
    parts = logits.split(max(1, _AT_ONCE // logits.shape[-1]))
    total = torch.cat([part.float().logsumexp(dim=-1) for part in parts])
    return of_letters(logits, batch).float() - total[:, None]


def of_letters(values: Tensor, batch: QueryBatch) -> Tensor:
    """The values at the options' letters, `[batch, options]`, -inf where a question has fewer options than others.

    Args:
        values: `[batch, vocab]`.
        batch: the questions.
    """
    choices = batch["choices"]
    return values.gather(-1, choices.clamp(min=0)).masked_fill(choices < 0, -torch.inf)


def evaluate_choices(scores: Tensor, batch: QueryBatch) -> Evaluation:
    """What the scores `[batch, options]` say about the valid rows; of equal scores the first wins, as in the harness.

    Raises:
        Diverged: a score is not a number.
    """
    valid = batch["valid"]
    scores, number, answer = scores[valid], batch["number"][valid], batch["answer"][valid]
    _check_numbers(scores, number)
    prediction = scores.argmax(dim=-1)
    return Evaluation(
        correct=prediction == answer,
        prediction=prediction,
        number=number,
        letter_logprob=scores.gather(-1, answer[:, None])[:, 0],
    )


def evaluate_options(scores: Tensor, batch: ClozeBatch) -> Evaluation:
    """What the scores `[batch, options]` of options as texts say about the valid rows, summed and per character.

    Per character is the harness' acc_norm: the score divided by the option's length. Of equal scores the first wins.

    Raises:
        Diverged: a score is not a number.
    """
    valid = batch["valid"]
    scores, number, answer = scores[valid], batch["number"][valid], batch["answer"][valid]
    _check_numbers(scores, number)
    characters = batch["characters"][valid]
    # The length of an empty option is 0, by which the harness divides: it is never the likeliest.
    norm = (scores.double() / characters.clamp(min=1)).masked_fill(characters == 0, -torch.inf)
    prediction, prediction_norm = scores.argmax(dim=-1), norm.argmax(dim=-1)
    return Evaluation(
        correct=prediction == answer,
        prediction=prediction,
        number=number,
        correct_norm=prediction_norm == answer,
        prediction_norm=prediction_norm,
        text_logprob=scores.gather(-1, answer[:, None])[:, 0],
    )


def option_scores(model: PreTrainedModel, layers: nn.ModuleList, batch: ClozeBatch) -> Tensor:
    """Log-probabilities of the options' texts, summed over tokens, as in the harness: float32 `[batch, options]`.

    -inf where a question has fewer options than others. What options have in common, the prompt of their question, runs
    once, in models for which that is the same.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: the questions.
    """
    texts = batch["texts"]
    sums = _sums(model, layers, texts, batch.get("packed"))
    scores = sums.new_full(batch["characters"].shape, -torch.inf)
    scores[texts["row"], batch["option"]] = sums
    return scores


def text_scores(model: PreTrainedModel, layers: nn.ModuleList, batch: QueryBatch) -> Tensor:
    """Log-probabilities of the right answers' texts, summed over tokens, as in the harness: float32 `[batch]`, in nats.

    NaN at rows whose text is not asked for. The head runs at the answers' tokens alone; what texts have in common runs
    once, as in `choice_scores`.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: with `texts`.
    """
    texts = batch["texts"]
    sums = _sums(model, layers, texts, batch.get("packed_texts"))
    asked = texts["row"] >= 0
    found = sums.new_full(batch["number"].shape, torch.nan)
    found[texts["row"][asked]] = sums[asked]
    return found


def _sums(model: PreTrainedModel, layers: nn.ModuleList, texts: TextRows, packed: Packed | None) -> Tensor:
    """The log-probability of each text, summed over its tokens: float32 `[texts]`.

    The head runs on a few of the answers' tokens at a time.
    """
    counted = texts["answer"] != IGNORED_LABEL
    row, place = counted.nonzero(as_tuple=True)
    before = counted.shape[1] - 1 - place  # tokens between the one that predicts it and the row's last
    if packed is None or not shares(model.config):
        outputs, _ = run_layers(model, layers, cast(Batch, texts), layer=len(layers) - 1, needs_logits=True, start=0)
        assert outputs.logits is not None
        logits: Logits = outputs.logits
        index = (row, texts["input_ids"].shape[1] - 1 - before)
    else:
        logits = _packed_logits(model, packed)
        index = (torch.zeros_like(row), packed["last"][row] - before)
    predicted = row.new_full(logits.shape[:2], IGNORED_LABEL).index_put(index, texts["answer"][counted])
    measure = Measure(_logprob, lambda rows, places: predicted[rows, places])
    tokens = by_token(measure, predicted != IGNORED_LABEL, logits)[index]
    return tokens.new_zeros(counted.shape).masked_scatter(counted, tokens).sum(dim=1)


def _check_numbers(scores: Tensor, number: Tensor) -> None:
    """Every question has an answer."""
    broken = scores.isnan().any(dim=-1)
    if broken.any():
        raise Diverged(
            f"question {int(number[broken][0])}: the model's logits are not numbers, so it has no answer; training "
            "diverged or overflowed: lower the learning rate, or use bf16 instead of float16"
        )


def _last_logits(model: PreTrainedModel, batch: QueryBatch) -> Tensor:
    """`[batch, vocab]`, of each row run on its own."""
    accepted = inspect.signature(model.forward).parameters
    ids = batch["input_ids"]
    options = {
        "position_ids": positions(batch["attention_mask"]),
        # An index, which copies these states: of a slice, as 1 makes it, torch would multiply each row for itself, in
        # bf16 on a CPU with a copy of the head for each.
        "logits_to_keep": torch.full((1,), ids.shape[1] - 1, device=ids.device),
    }
    logits: Tensor = model(
        input_ids=ids,
        attention_mask=batch["attention_mask"],
        use_cache=False,
        **{name: value for name, value in options.items() if name in accepted},
    ).logits
    return logits[:, -1]


def _logprob(logits: Tensor, answers: Tensor) -> Tensor:
    return -cross_entropy(logits.float(), answers, reduction="none")


def _packed_logits(model: PreTrainedModel, packed: Packed) -> LazyLogits:
    """`[1, seq, vocab]`, of the row in which common beginnings stand once."""
    layers = decoder_layers(model)
    decoder = decoder_of(model, layers)
    with sharing(model.config, parts_of(packed)):
        result = decoder(input_ids=packed["input_ids"], position_ids=packed["position"], use_cache=False)
    return lazy_logits(model, layers, result)
