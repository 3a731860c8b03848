"""Right answers as texts after their questions without options (cloze), as token ids and as part of a batch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.questions.source import Question, cloze_prompt


class AnswerText(NamedTuple):
    """The prompt without options and the text of the right answer, as token ids."""

    input_ids: list[int]
    """Prompt and answer, without the answer's last token, which predicts nothing that is asked."""
    answer: list[int]
    """Tokens of the answer, one or more; the first is predicted at the prompt's last token."""


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
    """`[texts]`, the row of the batch; of a text that only fills up, -1."""


def encode_texts(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None
) -> list[AnswerText]:
    """The answer texts of questions, token by token as the harness' HFLM encodes a context and its continuation.

    Args:
        questions: of one set.
        tokenizer: the model's.
        max_length: the model's; longer rows lose their beginning, as in the harness. None cuts nothing.
    """
    contexts = [cloze_prompt(question) for question in questions]
    whole = [
        f"{context} {question.choices[question.answer]}" for context, question in zip(contexts, questions, strict=True)
    ]
    pairs = zip(tokenizer(contexts)["input_ids"], tokenizer(whole)["input_ids"], strict=True)
    texts = []
    for context, ids in pairs:
        kept = ids if max_length is None else ids[-(max_length + 1) :]
        # An answer that the tokenizer joins with the prompt's end has still a last token.
        answer = ids[min(len(context), len(ids) - 1) :]
        texts.append(AnswerText(kept[:-1], answer[-(len(kept) - 1) :]))
    return texts


def collate_texts(texts: Mapping[int, AnswerText], *, padding_id: int) -> TextRows:
    """The texts of one batch, at least one.

    Args:
        texts: by the row of the batch, -1 for one that only fills up.
        padding_id: the token at padding.
    """
    length = max(len(text.input_ids) for text in texts.values())
    longest = max(len(text.answer) for text in texts.values())
    padding = [length - len(text.input_ids) for text in texts.values()]
    rows = zip(padding, texts.values(), strict=True)
    before = [longest - len(text.answer) for text in texts.values()]
    return TextRows(
        input_ids=torch.tensor([[padding_id] * count + text.input_ids for count, text in rows]),
        attention_mask=torch.tensor([[0] * count + [1] * (length - count) for count in padding]),
        answer=torch.tensor(
            [[IGNORED_LABEL] * count + text.answer for count, text in zip(before, texts.values(), strict=True)]
        ),
        row=torch.tensor([*texts]),
    )
