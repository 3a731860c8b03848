"""Scores of the options of multiple-choice questions, and what they say."""

import inspect
from contextlib import nullcontext
from typing import NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from lit_unlearn.errors import Diverged
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.models.layers import decoder_layers, decoder_of
from lit_unlearn.questions.answer_texts import TextRows
from lit_unlearn.questions.batches import QueryBatch
from lit_unlearn.questions.cloze import ClozeBatch
from lit_unlearn.questions.packing import Packed
from lit_unlearn.running.hooks import hidden_states
from lit_unlearn.running.partial_forward import output_head, positions, run_layers

_AT_ONCE = 2**24
"""Logits whose softmax is taken at a time."""
_PACKABLE = (
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
)
"""Families, as their configurations name them, that take positions and a mask between any two tokens."""


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

    What prompts of one question have in common at their beginning runs once, in models for which that is the same.

    Differs from the harness: the softmax is in float32 whatever the model's dtype.
    """
    packed = batch.get("packed")
    if packed is None or not _packable(model, batch["input_ids"].shape[1]):
        logits = _last_logits(model, batch)
    else:
        logits = _packed_logits(model, batch["input_ids"], packed, packed["last"])
    return of_letters(logits.float().log_softmax(dim=-1), batch)


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

    -inf where a question has fewer options than others. What the options of a question have in common, its prompt, runs
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

    NaN at rows whose text is not asked for. The head runs at the answers' tokens alone.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: with `texts`.
    """
    texts = batch["texts"]
    sums = _sums(model, layers, texts, None)
    asked = texts["row"] >= 0
    found = sums.new_full(batch["number"].shape, torch.nan)
    found[texts["row"][asked]] = sums[asked]
    return found


def _sums(model: PreTrainedModel, layers: nn.ModuleList, texts: TextRows, packed: Packed | None) -> Tensor:
    """The log-probability of each text, summed over its tokens: float32 `[texts]`."""
    counted = texts["answer"] != IGNORED_LABEL
    row, place = counted.nonzero(as_tuple=True)
    before = counted.shape[1] - 1 - place  # tokens between the one that predicts it and the row's last
    if packed is None or not _packable(model, texts["input_ids"].shape[1]):
        outputs, _ = run_layers(model, layers, cast(Batch, texts), layer=len(layers) - 1, needs_logits=True, start=0)
        assert outputs.logits is not None
        logits = outputs.logits[row, texts["input_ids"].shape[1] - 1 - before]
    else:
        logits = _packed_logits(model, texts["input_ids"], packed, packed["last"][row] - before)
    answers, at_once = texts["answer"][counted], max(1, _AT_ONCE // logits.shape[-1])
    parts = zip(logits.split(at_once), answers.split(at_once), strict=True)
    tokens = torch.cat([-cross_entropy(part.float(), answer, reduction="none") for part, answer in parts])
    return tokens.new_zeros(counted.shape).masked_scatter(counted, tokens).sum(dim=1)


def _check_numbers(scores: Tensor, number: Tensor) -> None:
    """Every question has an answer."""
    broken = scores.isnan().any(dim=-1)
    if broken.any():
        raise Diverged(
            f"question {int(number[broken][0])}: the model's logits are not numbers, so it has no answer; training "
            "diverged or overflowed: lower the learning rate, or use bf16 in place of float16"
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


def _packed_logits(model: PreTrainedModel, input_ids: Tensor, packed: Packed, places: Tensor) -> Tensor:
    """`[places, vocab]`, at places of rows in which a common beginning stands once, flattened."""
    decoder = decoder_of(model, decoder_layers(model))
    result = decoder(
        input_ids=input_ids.flatten()[packed["token"]],
        attention_mask=_seen(packed, model.dtype),
        position_ids=packed["position"],
        use_cache=False,
    )
    states = hidden_states(result).flatten(0, 1)[places]
    return output_head(model, decoder, result, nullcontext, states[None])[0]


def _seen(packed: Packed, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores, `[rows, 1, seq, seq]`: 0 where a token sees another, else almost -inf."""
    prompt, position, shared = (packed[name][:, :, None] for name in ("prompt", "position", "shared"))
    other, place = prompt.mT, position.mT
    own = (prompt == other) & (place <= position)
    seen = own | ((other == packed["prompt"][:, :1, None]) & (place < shared))
    return torch.where(seen[:, None], 0.0, torch.finfo(dtype).min).to(dtype)


def _packable(model: PreTrainedModel, longest: int) -> bool:
    """Whether a model sees tokens as `Packed` says: of a tested family, with masked attention that has no window."""
    config = model.config
    window = getattr(config, "sliding_window", None) or longest
    return config.model_type in _PACKABLE and config._attn_implementation in ("eager", "sdpa") and window >= longest
