"""Questions whose options are scored as texts, one by one: as token ids, and their batches."""

from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_texts import AnswerText, TextRows, collate_texts, encode_options
from lit_unlearn.questions.packing import Packed, Prompt, filled, pack
from lit_unlearn.questions.shares import Size, batch_at, batches_each, fitting, own_batches
from lit_unlearn.questions.source import Question


class Cloze(NamedTuple):
    """A question without its options, and the texts of those, as token ids."""

    options: list[AnswerText]
    characters: list[int]
    """Of each option."""
    answer: int
    number: int
    variant: int = 0
    """Which of the variants of a question it is."""

    @property
    def cut(self) -> bool:
        """Whether the prompt before an option has lost its beginning."""
        return any(option.cut for option in self.options)


class ClozeBatch(TypedDict):
    """Questions with a row of tokens for each option."""

    texts: TextRows
    """The options; `row` is the question."""
    option: Tensor
    """`[texts]`, which option of its question each text is."""
    characters: Tensor
    """`[batch, options]`, the lengths of the options; 0 where a question has fewer options than others."""
    answer: Tensor
    """`[batch]`, index of the right option."""
    number: Tensor
    """`[batch]`, the question's number in its set."""
    variant: Tensor
    """`[batch]`, which variant of the question it is."""
    valid: Tensor
    """`[batch]` bool, False at a question that only fills up and is never counted."""
    packed: NotRequired[Packed]
    """The same tokens in one row, for models that run it; in all batches of a set, or in none."""


def encode_cloze(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None = None
) -> list[Cloze]:
    """The options of questions, token by token as the harness' HFLM encodes a context and its continuations.

    Args:
        questions: of one set.
        tokenizer: the model's.
        max_length: the model's; longer rows lose their beginning, as in the harness. None cuts nothing.

    Raises:
        InputError: no questions.
    """
    if not questions:
        raise InputError("questions: none to encode; check their source")
    encoded = encode_options(questions, tokenizer, max_length=max_length)
    return [
        Cloze(options, [*map(len, question.choices)], question.answer, question.number)
        for question, options in zip(questions, encoded, strict=True)
    ]


class ClozeBatches(Dataset[ClozeBatch]):
    """Item i is the i-th batch of one process; every process has equally many, and every question is in one of them.

    All options of a question are in one batch. Questions that begin alike are in one batch as far as the tokens allow,
    and what they have in common is there once; largest first. Where the batches of all processes would not be equally
    many, the last are of one question that is not valid.

    Args:
        questions: of one set, in any order.
        max_tokens: of one batch; the options of a question that are longer are a batch of their own.
        padding_id: the token at padding; no model attends to it.
        share: (rank, number of processes).
        packed: as in `QueryBatches`.
    """

    def __init__(
        self,
        questions: Sequence[Cloze],
        *,
        max_tokens: int,
        padding_id: int = 0,
        share: tuple[int, int] = (0, 1),
        packed: bool = True,
    ) -> None:
        self.padding_id = padding_id
        self.share = share
        self.packed = packed
        if packed:
            ordered = sorted(questions, key=lambda one: (one.options[0].input_ids, one.number, one.variant))
            self._batches = filled(ordered, max_tokens, prompts=_prompts)
        else:
            self._batches = fitting(_ordered(questions), max_tokens, size=_size)

    def __len__(self) -> int:
        """Batches of each process."""
        return batches_each(len(self._batches), self.share)

    @property
    def rows(self) -> int:
        """Questions of this process, each variant counted."""
        return sum(map(len, own_batches(self._batches, self.share)))

    def __getitem__(self, index: int) -> ClozeBatch:
        found = batch_at(index, len(self._batches), self.share)
        questions = self._batches[-1][-1:] if found is None else self._batches[found]
        batch = _collate(questions, self.padding_id, valid=found is not None)
        if self.packed:
            batch["packed"] = pack([prompt for question in questions for prompt in _prompts(question)])
        return batch


def _prompts(question: Cloze) -> list[Prompt]:
    return [Prompt(option.input_ids, len(option.answer)) for option in question.options]


def _size(question: Cloze) -> Size:
    return Size(len(question.options), max(len(option.input_ids) for option in question.options))


def _ordered(questions: Sequence[Cloze]) -> list[Cloze]:
    """Those with the longest options first, the variants of a question together."""
    longest: dict[int, int] = {}
    for question in questions:
        longest[question.number] = max(longest.get(question.number, 0), _size(question).longest)
    return sorted(questions, key=lambda question: (-longest[question.number], question.number, question.variant))


def _collate(questions: Sequence[Cloze], padding_id: int, *, valid: bool) -> ClozeBatch:
    texts = [option for question in questions for option in question.options]
    row = [row for row, question in enumerate(questions) for _ in question.options]
    most = max(len(question.options) for question in questions)
    return ClozeBatch(
        texts=collate_texts(texts, row, padding_id=padding_id),
        option=torch.tensor([index for question in questions for index in range(len(question.options))]),
        characters=torch.tensor([one.characters + [0] * (most - len(one.characters)) for one in questions]),
        answer=torch.tensor([question.answer for question in questions]),
        number=torch.tensor([question.number for question in questions]),
        variant=torch.tensor([question.variant for question in questions]),
        valid=torch.full((len(questions),), valid),
    )
