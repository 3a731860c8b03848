"""How questions and answers become token ids: by a chat template, or as plain text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.answers.rows import AnswerRow
from lit_unlearn.answers.source import AnswerSource
from lit_unlearn.data.chat import Rendering, chat_template
from lit_unlearn.data.conversations import Message
from lit_unlearn.errors import InputError
from lit_unlearn.questions.scored_texts import ScoredText

_FIELD = re.compile(r"\{(question|context|examples|answer)\}")
"""What stands in a prompt, or in the form of an example, for a row's own texts."""


class Asked(NamedTuple):
    """The token ids of a question with one of its answers."""

    text: ScoredText
    """The question and the answer, whose tokens are scored, with those that end it."""
    prompt: tuple[int, ...]
    """After which the model writes its own answer."""


@dataclass(frozen=True)
class Asking:
    """Makes token ids of the rows of one source.

    Args:
        source: of the rows.
        tokenizer: the model's.
        examples: questions with answers that come before each question.
    """

    source: AnswerSource
    tokenizer: PreTrainedTokenizerBase
    examples: Sequence[AnswerRow] = ()

    def prompt(self, row: AnswerRow, place: str) -> tuple[int, ...]:
        """The token ids after which the model writes.

        Args:
            row: with a question.
            place: of its record, for errors.

        Raises:
            InputError: the chat template refuses it.
        """
        if self.source.format == "text":
            return self._without_end(self._ids(self._shown + self._question(row)))
        ids = self._rendering.asked(self._turns(row), place)
        return (*ids, *self._ids(self._opening(row), special=False))

    def asked(self, row: AnswerRow, answer: str, place: str) -> Asked:
        """A question with an answer, or a text alone.

        The answer's tokens are those after what both with and without it begin with: a tokenizer may merge the end of
        the prompt with the answer's first letters.

        Args:
            row: of the source.
            answer: one of its answers, or the text.
            place: of its record, for errors.

        Raises:
            InputError: it cannot be rendered, or no token of the answer is left.
        """
        if row.question is None:
            ids = self._ids(answer)[: self.source.max_length]
            return Asked(_scored(ids, 1, place), ())
        if self.source.format == "chat" and not self._opening(row):
            return self._turned(row, answer, place)
        prompt = self.prompt(row, place)
        if self.source.format == "text":
            asked = self._shown + self._question(row)
            ids = self._ids(asked + _blank(asked, answer) + answer)
        else:
            opened = self._opening(row) + _blank(self._opening(row), answer) + answer
            ids = (*self._rendering.asked(self._turns(row), place), *self._ids(opened, special=False))
        return Asked(_scored(ids, _common(prompt, ids), place), prompt)

    def compared(self, row: AnswerRow) -> tuple[str, ...]:
        """The right answers that a written one is compared with: of a text that is continued as much as is written.

        Args:
            row: of the source.
        """
        right = row.accepted or ((row.answer,) if row.answer is not None else ())
        most = self.source.max_new_tokens
        if not self.source.continues or not most:
            return right
        return tuple(self._first_tokens(answer, most) for answer in right)

    def _first_tokens(self, answer: str, most: int) -> str:
        ids = self._ids(answer)
        # As MUSE counts, the tokens that a tokenizer puts before a text included.
        return answer if len(ids) <= most else str(self.tokenizer.decode([*ids[:most]], skip_special_tokens=True))

    def _turned(self, row: AnswerRow, answer: str, place: str) -> Asked:
        """By the chat template, which says where the answer begins and what ends it."""
        ids, own = self._rendering.answers([*self._turns(row), Message(role="assistant", content=answer)], place)
        first = own.index(1) if 1 in own else len(own)
        return Asked(_scored(ids, first, place), tuple(ids[:first]))

    @cached_property
    def _rendering(self) -> Rendering:
        return Rendering(self.tokenizer, chat_template(self.source.chat_template, self.tokenizer, self.source.path))

    def _turns(self, row: AnswerRow) -> list[Message]:
        return [Message(role="user", content=self._question(row))]

    def _question(self, row: AnswerRow) -> str:
        return _filled(
            self.source.prompt_of(row.kind).prompt,
            {"question": row.question or "", "context": row.context, "examples": self._listed},
        )

    def _opening(self, row: AnswerRow) -> str:
        return self.source.prompt_of(row.kind).opening

    @cached_property
    def _shown(self) -> str:
        """The examples, each with its answer and a blank line; nothing where they have a form of their own."""
        if self._form is not None:
            return ""
        parts = ((self._question(one), one.answer or "") for one in self.examples)
        return "".join(f"{asked}{_blank(asked, answer)}{answer}\n\n" for asked, answer in parts)

    @cached_property
    def _listed(self) -> str:
        """The examples in a form of their own."""
        if self._form is None:
            return ""
        shown = ({"question": one.question or "", "answer": one.answer or ""} for one in self.examples)
        return "".join(_filled(self._form, one) for one in shown)

    @property
    def _form(self) -> str | None:
        return None if self.source.examples is None else self.source.examples.form

    def _ids(self, text: str, *, special: bool = True) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=special)["input_ids"]) if text else ()

    def _without_end(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Removes the end of text that some tokenizers add: a prompt is continued."""
        return ids[:-1] if ids[-1:] == (self.tokenizer.eos_token_id,) else ids


def _filled(form: str, texts: Mapping[str, str]) -> str:
    """A form with texts in their places; what else stands in braces stays.

    Example:
        >>> _filled("Q: {question} {context}", {"question": "{context}?"})
        'Q: {context}? {context}'
    """
    return _FIELD.sub(lambda found: texts.get(found[1], found[0]), form)


def _blank(before: str, after: str) -> str:
    """What stands between a prompt and an answer: a blank, unless there is one."""
    return "" if not before or before[-1].isspace() or after[0].isspace() else " "


def _common(prompt: Sequence[int], ids: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = zip(prompt, ids, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(prompt), len(ids)))


def _scored(ids: Sequence[int], first: int, place: str) -> ScoredText:
    if not 0 < first < len(ids):
        raise InputError(f"{place}: no token of the answer comes after one of the question; check the chat template")
    return ScoredText(tuple(ids), len(ids) - first)
