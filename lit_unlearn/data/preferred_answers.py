"""Answers such as "I don't know", which some losses prefer to forget rows."""

from pathlib import Path
from typing import NamedTuple

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_unlearn import randomness
from lit_unlearn.data.rows import Row, collate, tokenised
from lit_unlearn.data.text import TextSource, check_source
from lit_unlearn.losses.contract import Batch

PREFERRED_ANSWERS = Path(__file__).with_name("preferred_answers.txt")
"""lit-unlearn's own, one per line."""


class PreferredAnswers(NamedTuple):
    """Answers from which one is drawn for each forget row, again at each step."""

    answers: Dataset
    """Token ids, one column `input_ids`."""
    seed: int
    """Of the draws, which are a function of the seed, the step and the row alone."""

    def for_rows(self, forget: Batch, step: int, *, padding: tuple[str, int]) -> Batch:
        """An answer for each row of a forget batch, with the row's topic and number.

        Args:
            forget: the batch.
            step: its step.
            padding: side and token id.
        """
        drawn = randomness.choices(forget["row"], len(self.answers), seed=self.seed, step=step).tolist()
        rows = [
            Row(self.answers[answer]["input_ids"], topic, number)
            for answer, topic, number in zip(drawn, forget["topic"].tolist(), forget["row"].tolist(), strict=True)
        ]
        return collate(rows, padding_side=padding[0], padding_id=padding[1])


def answers_of(path: str | Path) -> TextSource:
    """The source of a file of answers, of which none is too short."""
    return TextSource(str(path), min_length=0)


def check_preferred(path: str | Path) -> None:
    """A file of answers can be read.

    Raises:
        InputError: it cannot, or holds no answer.
    """
    check_source(answers_of(path))


def preferred_answers(path: str | Path, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreferredAnswers:
    """The answers of a file, one per line.

    Raises:
        InputError: the file cannot be read or holds no answer.
    """
    return PreferredAnswers(tokenised(answers_of(path), tokenizer), seed)
