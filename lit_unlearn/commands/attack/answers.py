"""What a model answers in one evaluation, and the measures of the card made of that."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.callbacks.evaluation import on_cpu
from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.questions import outcomes
from lit_unlearn.questions.outcomes import HeldOut, Outcomes
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.statistics import Estimate, accuracy, mean

_TOKENS = "text_tokens"


class Asked(NamedTuple):
    """One question."""

    questions: str
    """The name of its set."""
    number: int


class Answers(L.Callback):
    """Keeps what `validation_step` returns in the validations of one process, each as an item of `found`.

    Args:
        sets: what each evaluation loader asks; a row's `variant` is an index into it.
    """

    def __init__(self, sets: Sequence[Sequence[Variant]]) -> None:
        self.sets = sets
        self.found: list[tuple[dict[Variant, Outcomes], HeldOut | None]] = []
        self._seen: dict[int, list[Mapping[str, Tensor]]] = defaultdict(list)
        self._held_out: list[Mapping[str, Tensor]] = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps a batch."""
        if "forget_nll" in outputs:
            self._held_out.append(on_cpu(outputs))
        elif "correct" in outputs:
            rows = {**outputs, "variant": batch["variant"][batch["valid"]], _TOKENS: _text_tokens(batch)}
            self._seen[dataloader_idx].append(on_cpu(rows))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keeps an evaluation."""
        asked: dict[Variant, Outcomes] = {}
        for index, batches in self._seen.items():
            rows = outcomes.joined(batches)
            rows[_TOKENS] = torch.cat([batch[_TOKENS] for batch in batches]).tolist()
            asked |= {
                variant: outcomes.merged([outcomes.of(place, rows)]) for place, variant in enumerate(self.sets[index])
            }
        held_out = outcomes.held_out(self._held_out) if self._held_out else None
        self.found.append((asked, held_out))
        self._seen, self._held_out = defaultdict(list), []


def _text_tokens(batch: Any) -> Tensor:
    """Tokens of the right answer's text, `[valid rows]`; 0 where it is not asked for."""
    count = torch.zeros(batch["valid"].shape, dtype=torch.long, device=batch["valid"].device)
    texts = batch.get("texts")
    if texts is not None:
        own = (texts["answer"] != IGNORED_LABEL).sum(dim=1)
        asked = texts["row"] >= 0
        if "option" in batch:
            asked &= batch["option"] == batch["answer"][texts["row"].clamp(min=0)]
        count[texts["row"][asked]] = own[asked]
    return count[batch["valid"]]


def measures(
    asked: Mapping[Variant, Outcomes],
    held_out: HeldOut | None,
    *,
    forget: Collection[str],
    only: Collection[Asked] | None = None,
) -> dict[str, Estimate]:
    """The measures of the card.

    Args:
        asked: the outcomes of each variant.
        held_out: the likelihood of held-out rows.
        forget: names of the sets to forget.
        only: the questions to forget that count; None counts all.
    """
    clean = [(variant, rows) for variant, rows in asked.items() if variant.perturbation == DEFAULT]
    to_forget = _joined(_kept(variant, rows, only) for variant, rows in clean if variant.questions in forget)
    found = _of_answers(to_forget)
    other = {
        variant: rows
        for variant, rows in asked.items()
        if variant.questions not in forget and variant.perturbation != DEFAULT
    }
    for name, parts in {
        "retain_accuracy": [rows for variant, rows in clean if variant.questions not in forget],
        "perturbed_accuracy": [rows for variant, rows in other.items() if not variant.control],
        "control_accuracy": [rows for variant, rows in other.items() if variant.control],
    }.items():
        joined = _joined(parts)
        if joined.get("correct"):
            found[name] = accuracy(torch.tensor(joined["correct"]))
    for stream, rows in (held_out or {}).items():
        found[f"{stream}_nll"] = mean(torch.tensor(rows["nll"]))
    return found


def _of_answers(rows: Outcomes) -> dict[str, Estimate]:
    """Of the questions to forget."""
    if not rows.get("correct"):
        return {}
    found = {"forget_accuracy": accuracy(torch.tensor(rows["correct"]))}
    if "letter_logprob" in rows:
        found["letter_log_probability"] = mean(torch.tensor(rows["letter_logprob"]))
    if "text_logprob" in rows:
        nats = torch.tensor(rows["text_logprob"], dtype=torch.float64)
        found["log_probability"] = mean(nats)
        found["answer_probability"] = mean((nats / torch.tensor(rows[_TOKENS])).exp())
    return found


def _kept(variant: Variant, rows: Outcomes, only: Collection[Asked] | None) -> Outcomes:
    asked = [Asked(variant.questions, int(number)) for number in rows["number"]]
    places = [place for place, one in enumerate(asked) if only is None or one in only]
    return {name: [values[place] for place in places] for name, values in rows.items()}


def _joined(parts: Any) -> Outcomes:
    """The rows of all parts; what not all of them have is left out."""
    every: list[Outcomes] = list(_nonempty(parts))
    names = set.intersection(*(set(part) for part in every)) if every else set()
    return {name: [value for part in every for value in part[name]] for name in names}


def _nonempty(parts: Any) -> Iterator[Outcomes]:
    return (part for part in parts if part.get("correct"))
