"""Conversations as token ids by a chat template, and which of them are the assistant's answers."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.conversations import Message
from lit_unlearn.errors import InputError

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""What says in a template where answers begin."""
_CLOCK = re.compile(r"\bstrftime_now\s*\(")
_TODAY = re.compile(rf"""{_CLOCK.pattern}\s*(?:format\s*=\s*)?(?P<quote>['"])(?P<format>[^'"]*)(?P=quote)\s*\)""")
"""What writes the clock's date into a conversation, as templates of Llama 3 and gpt-oss do."""
_DATE = date(2024, 7, 26)
"""The date in its place, which Llama's templates have where there is no clock: rows must not change overnight."""
_EXAMPLE = "{% for message in messages %}{{ message['content'] + '\\n' }}{% endfor %}"


class Rendered(NamedTuple):
    """A conversation as token ids."""

    input_ids: list[int]
    answer: list[int]
    """1 at the tokens of answers, 0 at those of prompts."""


def chat_template(given: str | None, tokenizer: PreTrainedTokenizerBase, path: str) -> str:
    """The template of a source, in which today is always the same day.

    Args:
        given: its text, or the path of a .jinja file; None is the tokenizer's own.
        tokenizer: the model's.
        path: of the source, for errors.

    Raises:
        InputError: there is none, the file cannot be read, or it asks for the date in another way than by a format
            that is written out.
    """
    if given is None:
        try:
            own = str(tokenizer.get_chat_template())
        except ValueError as error:
            raise InputError(
                f"{path}: the tokenizer {tokenizer.name_or_path!r} has no chat template; take an instruction-tuned "
                f"model, or set `chat_template` of the source to a .jinja file or a template such as {_EXAMPLE!r}"
            ) from error
        return _dated(own, path)
    if not given.endswith(".jinja"):
        if "{" not in given:
            raise InputError(f"{path}: chat_template {given!r} is neither a template nor a file that ends in .jinja")
        return _dated(given, path)
    try:
        return _dated(Path(given).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: chat_template {given} cannot be read ({error}); give another file") from error


def _dated(template: str, path: str) -> str:
    """The template with a date where it asks the clock."""
    dated = _TODAY.sub(lambda asked: json.dumps(_DATE.strftime(asked["format"])), template)
    if _CLOCK.search(dated):
        raise InputError(
            f"{path}: the chat template asks for today's date, so that rows would change overnight; write a date in "
            "the place of strftime_now(...) into a copy of it, and set `chat_template` of the source to that"
        )
    return dated


@dataclass(frozen=True)
class Rendering:
    """Renders conversations with a chat template; models that can think before they answer do not.

    The template's own marks say which tokens are an answer's, where it has them and the tokenizer says where in a text
    its tokens are. Else an answer's are those by which the conversation up to it, rendered, is longer than that before
    it, if the one begins with the other.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str

    def whole(self, messages: Sequence[Message], place: str) -> list[int]:
        """The token ids of a conversation.

        Args:
            messages: of the conversation.
            place: of its record, for errors.

        Raises:
            InputError: the template refuses it.
        """
        ids: list[int] = self._applied(messages, place)["input_ids"]
        return ids

    def asked(self, messages: Sequence[Message], place: str) -> list[int]:
        """The token ids up to where an answer begins; the arguments are those of `whole`.

        Raises:
            InputError: the template refuses the conversation.
        """
        ids: list[int] = self._applied(messages, place, add_generation_prompt=True)["input_ids"]
        return ids

    def answers(self, messages: Sequence[Message], place: str) -> Rendered:
        """The token ids of a conversation and which are the answers'; the arguments are those of `whole`.

        Raises:
            InputError: the template refuses it, or does not say which tokens are the answers'.
        """
        if not any(message["role"] == "assistant" for message in messages):
            raise InputError(f"{place}: no message has the role assistant; add its answer, or set `loss_on: all`")
        if self.tokenizer.is_fast and _MARKED.search(self.template):
            found = self._applied(messages, place, return_assistant_tokens_mask=True)
            return Rendered(found["input_ids"], found["assistant_masks"])
        return self._compared(messages, place)

    def _compared(self, messages: Sequence[Message], place: str) -> Rendered:
        """With the answers' tokens as those that a rendering without the answer does not have."""
        ids = self.whole(messages, place)
        answer = [0] * len(ids)
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._applied(messages[:index], place, add_generation_prompt=True)["input_ids"] if index else []
            upto = self.whole(messages[: index + 1], place)
            if len(before) >= len(upto) or ids[: len(before)] != before or ids[: len(upto)] != upto:
                raise InputError(
                    f"{place}: rendered without its answer the conversation is not the beginning of that with it, so "
                    "that this chat template does not tell the answer's tokens; mark them in it by {% generation %}, "
                    "or set `loss_on: all`"
                )
            answer[len(before) : len(upto)] = [1] * (len(upto) - len(before))
        return Rendered(ids, answer)

    def _applied(self, messages: Sequence[Message], place: str, **options: Any) -> Any:
        conversation: Any = [{**message} for message in messages]
        try:
            return self.tokenizer.apply_chat_template(
                conversation,
                chat_template=self.template,
                tokenize=True,
                return_dict=True,
                # Else the empty thought that stands before each answer would be the answer's first tokens.
                enable_thinking=False,
                **options,
            )
        except Exception as error:  # whatever the template's own code raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{place}: the chat template refuses this conversation ({reason}); correct its messages, or set "
                "`chat_template` of the source to another"
            ) from error
