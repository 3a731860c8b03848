"""The rows that a model is fine-tuned on, and the questions that these do not answer."""

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import lightning as L
from datasets import Dataset, concatenate_datasets
from torch.utils.data import DataLoader

from lit_unlearn.commands.attack.answers import Asked
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.data.draws import sample
from lit_unlearn.data.steps import PairedSteps
from lit_unlearn.errors import InputError
from lit_unlearn.questions.key_words import key_words, words
from lit_unlearn.questions.sets import DEFAULT

Kind = Literal["other", "asked", "forget", "retain"]


class Chosen(NamedTuple):
    """Rows and questions of an attack."""

    rows: Dataset
    """Tokenised."""
    questions: frozenset[Asked] | None
    """Those to forget that count; None counts all."""


def choose(target: Target, kind: Kind, count: int, *, seed: int) -> Chosen:
    """Draws rows.

    What the questions to forget are about, their key words, is split in halves by the seed. The questions of the second
    half count. `asked` rows name a key word of the second half: they may state the answers. `other` rows name one of
    the first half and none of the second, so that no asked fact is taught again.

    Args:
        target: whose data.
        kind: `other` or `asked`; `forget` or `retain` draws from all rows of that stream, and all questions count.
        count: how many rows.
        seed: of the split and of the draw.

    Raises:
        InputError: there are not as many rows of this kind.
    """
    rows = concatenate_datasets([*target.data.trained_rows("retain" if kind == "retain" else "forget").values()])
    if kind in ("forget", "retain"):
        return Chosen(_drawn(rows, range(len(rows)), count, kind, seed), None)
    texts = target.tokenizer.batch_decode([*rows["input_ids"]], skip_special_tokens=True)
    keys = _keys(target, texts)
    names = sorted(set(keys.values()))
    evaluated = set(sample(names, len(names) - len(names) // 2, "evaluated entities", seed))
    places = [place for place, text in enumerate(texts) if _is(kind, words(text), evaluated, set(names) - evaluated)]
    counted = frozenset(asked for asked, word in keys.items() if word in evaluated)
    return Chosen(_drawn(rows, places, count, kind, seed), counted)


class FineTuningData(L.LightningDataModule):
    """Some rows, again and again in a seeded order, and the evaluation loaders of a target.

    Args:
        rows: tokenised.
        target: whose questions are asked.
        batch_size: rows of a step.
        steps: of the training.
        seed: of the order.
    """

    def __init__(self, rows: Dataset, target: Target, *, batch_size: int, steps: int, seed: int) -> None:
        super().__init__()
        self._target = target
        self._steps = steps
        self._pairs = PairedSteps(
            [rows], [rows.select([0])], batch_size=batch_size, seed=seed, padding=target.data.padding
        )

    def train_dataloader(self) -> Any:
        """As many pairs as there are steps; the retain stream, on which nothing is trained, is one row."""
        return DataLoader(self._pairs, sampler=range(self._steps), batch_size=None)

    def val_dataloader(self) -> list[Any]:
        """The target's."""
        return self._target.loaders()


def _keys(target: Target, texts: Sequence[str]) -> dict[Asked, str]:
    """The key words of the questions to forget."""
    return {
        Asked(variant.questions, number): word
        for variant, questions in target.asked.items()
        if variant.questions in target.forget and variant.perturbation == DEFAULT
        for number, word in key_words(questions, texts).items()
    }


def _is(kind: Kind, named: Collection[str], evaluated: Collection[str], others: Collection[str]) -> bool:
    names_evaluated = any(word in evaluated for word in named)
    return names_evaluated if kind == "asked" else not names_evaluated and any(word in others for word in named)


def _drawn(rows: Dataset, places: Sequence[int], count: int, kind: Kind, seed: int) -> Dataset:
    if len(places) < count:
        raise InputError(
            f"FineTuning.count: {count} rows of kind {kind!r} are asked for, and there are {len(places)}; give fewer, "
            "or more text"
        )
    return rows.select(sorted(sample(places, count, f"fine-tuned {kind}", seed)))
