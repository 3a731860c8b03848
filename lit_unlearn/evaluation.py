"""Scores of the four options of multiple-choice questions, and what they say."""

import inspect
from typing import TypedDict

from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.data.queries import QueryBatch
from lit_unlearn.errors import InputError
from lit_unlearn.forward import positions


class Evaluation(TypedDict):
    """What came out for the valid rows of a batch, `[rows]` each."""

    correct: Tensor
    """bool."""
    prediction: Tensor
    """Index of the likeliest option."""
    number: Tensor
    """The question's number in its set."""


def choice_scores(model: PreTrainedModel, batch: QueryBatch) -> Tensor:
    """Log-probabilities of the four letters after each prompt: float32 `[batch, 4]`.

    Differs from the harness: the softmax is in float32 whatever the model's dtype.
    """
    accepted = inspect.signature(model.forward).parameters
    options: dict[str, Tensor | int] = {
        "position_ids": positions(batch["attention_mask"]),
        "logits_to_keep": 1,
    }
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        use_cache=False,
        **{name: value for name, value in options.items() if name in accepted},
    ).logits[:, -1]
    scores: Tensor = logits.float().log_softmax(dim=-1).gather(-1, batch["choices"])
    return scores


def evaluate_choices(scores: Tensor, batch: QueryBatch) -> Evaluation:
    """What the scores `[batch, 4]` say about the valid rows; of equal scores the first wins, as in the harness.

    Raises:
        InputError: a score is not a number.
    """
    valid = batch["valid"]
    scores, number = scores[valid], batch["number"][valid]
    broken = scores.isnan().any(dim=-1)
    if broken.any():
        raise InputError(
            f"question {int(number[broken][0])}: the model's logits are not numbers, so it has no answer; training "
            "diverged or overflowed: lower the learning rate, or use bf16 in place of float16"
        )
    prediction = scores.argmax(dim=-1)
    return Evaluation(correct=prediction == batch["answer"][valid], prediction=prediction, number=number)
