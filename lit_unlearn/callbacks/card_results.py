"""What an unlearned model's card says of the evaluations before and after training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lightning as L

from lit_unlearn.answers import outcomes
from lit_unlearn.callbacks.evaluation import evaluating
from lit_unlearn.questions.excess import PREFIX
from lit_unlearn.questions.outcomes import OTHER_WEIGHTS
from lit_unlearn.runs.tables import markdown_table

_TRAINING = {
    "train/forget_loss": "forget loss",
    "train/retain_loss": "retain loss",
    "train/forget_cosine": "cosine of forget states with the steering vector",
    "train/forget_norm": "mean norm of forget states",
    "train/retain_norm": "mean norm of retain states",
    "train/forget_nll_rise": "rise of the NLL of held-out forget rows, nats per token",
}
_OF_QUESTIONS = {
    "accuracy": ("accuracy, %", 100.0),
    "letter_logprob": ("log p of the right letter, nats", 1.0),
    "text_logprob": ("log p of the right answer's text, nats", 1.0),
}
_OF_INSERTIONS = {"excess": ("excess NLL after the insertion, nats per token", 1.0)}
_OF_ANSWERS = {
    "model_utility": ("model utility", 1.0),
    "forget_quality": ("forget quality, p of KS against the retain-only model", 1.0),
    "privacy_leakage": ("PrivLeak, %", 1.0),
    "probability": ("probability of the answer", 1.0),
    "truth_ratio": ("truth ratio", 1.0),
    "rouge_recall": ("ROUGE-L recall of what the model writes", 1.0),
}


def evaluation_table(trainer: L.Trainer) -> str:
    """Base and unlearned model on all question sets, insertions and free answers; empty where nothing was evaluated.

    Args:
        trainer: of the run, after training.
    """
    callbacks = evaluating(trainer)
    records = [one for one in callbacks[0].evaluations if not OTHER_WEIGHTS & one.keys()] if callbacks else []
    if not records or (records[-1]["step"] == 0 and "repaired" not in records[-1]):
        return ""
    base = records[0] if records[0]["step"] == 0 else None
    return markdown_table(("", "measure", "base", "unlearned"), [*_rows(base, records[-1])])


def training_table(trainer: L.Trainer) -> str:
    """What was last logged of the losses and states, by names that a reader knows; empty where nothing was."""
    logged = trainer.callback_metrics
    rows = [[text, f"{float(logged[name]):.4g}"] for name, text in _TRAINING.items() if name in logged]
    return markdown_table(("", "last logged"), rows) if rows else ""


def _rows(base: Mapping[str, Any] | None, last: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    before = base or {}
    yield from _measured(last["measured"], before.get("measured", {}), _OF_QUESTIONS)
    after, first = (record.get(PREFIX, {}).get("measured", {}) for record in (last, before))
    yield from _measured(after, first, _OF_INSERTIONS)
    after, first = (record.get(outcomes.PREFIX, {}).get("measured", {}) for record in (last, before))
    yield from _measured(after, first, _OF_ANSWERS)


def _measured(
    found: Mapping[str, Any], base: Mapping[str, Any], measures: Mapping[str, tuple[str, float]]
) -> Iterator[Sequence[str]]:
    for name, values in found.items():
        for measure, (text, factor) in measures.items():
            if values.get(measure) is not None:
                before = base.get(name, {}).get(measure)
                yield [_title(name), text, _number(before, factor), _number(values[measure], factor)]


def _title(name: str) -> str:
    """A variant or an insertion, in words.

    Example:
        >>> _title("retain"), _title("retain/4-gram"), _title("retain/4-gram/control"), _title("insert/word/trained")
        ('retain', 'retain, perturbed (4-gram)', 'retain, control (4-gram)', 'word of trained forget rows')
        >>> _title("answers"), _title("answers/forget")
        ('free answers', 'free answers: forget')
    """
    first, *rest = name.split("/")
    if first == outcomes.PREFIX:
        return f"free answers: {rest[0]}" if rest else "free answers"
    if first == PREFIX:
        return f"{rest[0]} of {rest[1]} forget rows"
    if not rest:
        return first
    return f"{first}, control ({rest[0]})" if rest[1:] == ["control"] else f"{first}, perturbed ({'/'.join(rest)})"


def _number(value: float | None, factor: float) -> str:
    if value is None:
        return "–"
    if factor != 1:
        return f"{factor * value:.1f}"
    return f"{value:.2g}" if 0 < abs(value) < 0.001 else f"{value:.3f}"  # a p-value may be tiny
