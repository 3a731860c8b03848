"""Options as texts after their questions without options (cloze), as token ids and as part of a batch."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.questions.source import Question, cloze_prompt


class AnswerText(NamedTuple):
    """The prompt without options and the text of an option, the right answer's or any other, as token ids."""

    input_ids: list[int]
    """Prompt and answer, without the answer's last token, which predicts nothing that is asked."""
    answer: list[int]
    """Tokens of the answer, one or more; the first is predicted at the prompt's last token."""
    cut: bool = False
    """Whether the prompt has lost its beginning."""


class TextRows(TypedDict):
    """Answer texts of some rows of a batch, padded to the left.

    Every row ends where its answer's last token is predicted.
    """

    input_ids: Tensor
    """`[texts, seq]`."""
    attention_mask: Tensor
    """`[texts, seq]`, 0 at padding."""
    answer: Tensor
    """`[texts, length]`, what the last positions predict, `IGNORED_LABEL` before the answer begins."""
    row: Tensor
    """`[texts]`, the row of the batch, which may have several texts; of a text that only fills up, -1."""


def encode_texts(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> list[AnswerText]:
    """The right answers' texts, token by token as the harness' HFLM encodes a context and its continuation.

    Args:
        questions: of one set.
        tokenizer: the model's.
        max_length: the model's; longer rows lose their beginning, as in the harness. None cuts nothing.
    """
    texts = [question.choices[question.answer] for question in questions]
    return _encoded([cloze_prompt(question) for question in questions], texts, tokenizer, max_length)


def encode_options(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> list[list[AnswerText]]:
    """The texts of all options of each question; the arguments are those of `encode_texts`."""
    contexts = [cloze_prompt(question) for question in questions for _ in question.choices]
    texts = [choice for question in questions for choice in question.choices]
    encoded = iter(_encoded(contexts, texts, tokenizer, max_length))
    return [[next(encoded) for _ in question.choices] for question in questions]


def _encoded(
    contexts: Sequence[str], texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int | None
) -> list[AnswerText]:
    """Texts after their contexts."""
    whole = [f"{context} {text}" for context, text in zip(contexts, texts, strict=True)]
    encoded = []
    for context, ids in zip(tokenizer(list(contexts))["input_ids"], tokenizer(whole)["input_ids"], strict=True):
        kept = ids if max_length is None else ids[-(max_length + 1) :]
        # An answer that the tokenizer joins with the prompt's end has still a last token.
        answer = ids[min(len(context), len(ids) - 1) :]
        encoded.append(AnswerText(kept[:-1], answer[-(len(kept) - 1) :], cut=len(kept) < len(ids)))
    return encoded


def collate_texts(texts: Sequence[AnswerText], rows_of: Sequence[int], *, padding_id: int) -> TextRows:
    """The texts of one batch, at least one.

    Args:
        texts: to be padded.
        rows_of: the row of the batch for each, -1 for one that only fills up.
        padding_id: the token at padding.
    """
    length = max(len(text.input_ids) for text in texts)
    longest = max(len(text.answer) for text in texts)
    padding = [length - len(text.input_ids) for text in texts]
    rows = zip(padding, texts, strict=True)
    before = [longest - len(text.answer) for text in texts]
    return TextRows(
        input_ids=torch.tensor([[padding_id] * count + text.input_ids for count, text in rows]),
        attention_mask=torch.tensor([[0] * count + [1] * (length - count) for count in padding]),
        answer=torch.tensor([[IGNORED_LABEL] * count + text.answer for count, text in zip(before, texts, strict=True)]),
        row=torch.tensor(rows_of),
    )
