"""Other answers to the questions of forget rows, which some losses prefer to the rows' own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from lit_unlearn import randomness
from lit_unlearn.data.rows import collate, row_of, tokenised
from lit_unlearn.data.text import TextSource
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch

_REJECTED = "rejected"


class AlternativeAnswers(NamedTuple):
    """Other answers to each forget row's question, one of which is drawn again at each step."""

    answers: Dataset
    """Questions with their answers as token ids: columns `input_ids` and `answer`, 1 at an answer's tokens; of pairs
    also `rejected`, the token ids of the row that each is preferred to."""
    by_row: list[list[int]]
    """Which of them answer the question of each forget row, by the row's number."""
    seed: int
    """Of the draws, which are a function of the seed, the step and the row alone."""

    def for_rows(self, forget: Batch, step: int, *, padding: tuple[str, int]) -> Batch:
        """The question with another answer for each row of a forget batch, with the row's topic and number.

        Args:
            forget: the batch.
            step: its step.
            padding: side and token id.
        """
        rows = [
            row_of(self.answers[self._drawn(number, step)], topic, number)
            for topic, number in zip(forget["topic"].tolist(), forget["row"].tolist(), strict=True)
        ]
        return collate(rows, padding_side=padding[0], padding_id=padding[1])

    def _drawn(self, number: int, step: int) -> int:
        own = self.by_row[number]
        return own[int(randomness.choices(torch.tensor([number]), len(own), seed=self.seed, step=step))]


def tokenised_alternatives(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The questions and answers of a source as token ids; of pairs (format `chosen`) with those they are preferred to.

    Raises:
        InputError: the source cannot be read, or does not say which tokens are answers.
    """
    answers = tokenised(source, tokenizer)
    _check_questions(answers, "data.alternatives", source.path)
    if source.format == "chosen":
        rejected = tokenised(replace(source, format="rejected"), tokenizer)
        return cast(Dataset, answers.add_column(_REJECTED, rejected["input_ids"][:]))
    return answers


def alternative_answers(
    answers: Dataset, streams: Mapping[str, Dataset], tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> AlternativeAnswers:
    """Finds the answers to each forget row's question: those after the same tokens, or of pairs the row's own.

    Args:
        answers: of `tokenised_alternatives`.
        streams: tokenised forget rows by topic, in the order in which rows are numbered.
        tokenizer: shows a question without an answer.
        seed: of the draws.

    Raises:
        InputError: a stream has no questions, a question has no answer, or only the row's own.
    """
    paired = _REJECTED in answers.column_names
    places: dict[tuple[int, ...], list[int]] = {}
    for place, record in enumerate(answers):
        places.setdefault(tuple(record[_REJECTED]) if paired else _question(record), []).append(place)
    by_row: list[list[int]] = []
    for topic, rows in streams.items():
        _check_questions(rows, f"data.forget.{topic}", "its rows")
        for record in rows:
            by_row.append(found := places.get(tuple(record["input_ids"]) if paired else _question(record), []))
            if (wrong := _wrong(found, answers, record, paired=paired)) is not None:
                question = str(tokenizer.decode(list(_question(record)), skip_special_tokens=True)).strip()[-80:]
                raise InputError(f"data.alternatives: {question!r} of topic {topic} {wrong}")
    return AlternativeAnswers(answers, by_row, seed)


def _question(record: Mapping[str, Any]) -> tuple[int, ...]:
    """The tokens before the first answer."""
    return tuple(record["input_ids"][: record["answer"].index(1)])


def _check_questions(rows: Dataset, option: str, what: str) -> None:
    if "answer" not in rows.column_names:
        raise InputError(
            f"{option}: {what} have no answers that are told from questions, which data.alternatives needs; set "
            "`format: question_answer` and `loss_on: answer` of the source, or remove data.alternatives"
        )


def _wrong(found: Sequence[int], answers: Dataset, record: Mapping[str, Any], *, paired: bool) -> str | None:
    """What is wrong with the answers found for a row, and the remedy."""
    if not found and paired:
        return (
            "is not the rejected answer of a pair; let data.forget have the same file, `format: rejected` and the same "
            "max_length and chat_template"
        )
    if not found:
        return "has no other answer; write one with the same question, word for word"
    if any(answers[other]["input_ids"] == record["input_ids"] for other in found):
        return "has the row's own answer among the others; remove it"
    return None
