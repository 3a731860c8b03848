"""Records as conversations: chat messages, prompts with completions, questions with answers, pairs of answers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from lit_unlearn.data.files import check_unicode, fields_of
from lit_unlearn.data.formats import FIELDS, PAIRS, Format, suggested
from lit_unlearn.errors import InputError


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant`, or another that the chat template knows."""
    content: str


def conversation(record: Any, kind: Format, place: str) -> list[Message]:
    """The messages of a record.

    Args:
        record: with the format's fields: `messages`; `prompt` and `completion`, each a text or messages; `question` and
            `answer`; `instruction`, with what else it is about in `input`, and `output`; or a pair, `prompt` with
            `chosen` and `rejected` as completions are, or both in this order as a list in `response`.
        kind: the format, other than text.
        place: of the record, for errors.

    Raises:
        InputError: the record is not of the format.

    Example:
        >>> conversation({"question": "Half of 4?", "answer": "2"}, "question_answer", "a.jsonl, line 1")
        [{'role': 'user', 'content': 'Half of 4?'}, {'role': 'assistant', 'content': '2'}]
    """
    names = FIELDS[kind]
    fields = fields_of(record, place, wanted=f"an object with {' and '.join(names)}")
    if fields and all(value is None for value in fields.values()):
        raise InputError(f"{place}: every field is null; remove the row")
    if kind in PAIRS:
        fields = _paired(fields, place)
    if kind == "instruction_output":
        fields = _with_input(fields, place)
    missing = [name for name in names if name not in fields]
    if missing:
        kinds = suggested(fields) or "what the records hold: text, messages, prompt_completion or question_answer"
        found = ", ".join(map(str, fields)) or "none"
        raise InputError(f"{place}: no field {missing[0]!r} (fields {found}); set `format` of the source to {kinds}")
    if kind == "messages":
        return _messages(fields["messages"], "messages", place)
    turns = zip(names, ("user", "assistant"), strict=True)
    return [message for name, role in turns for message in _turns(fields[name], name, role, kind, place)]


def plain(messages: Iterable[Message]) -> str:
    r"""A conversation as text, without roles: what n-grams are drawn from.

    Example:
        >>> plain([{"role": "user", "content": "Half of 4?"}, {"role": "assistant", "content": "2"}])
        'Half of 4?\n2'
    """
    return "\n".join(message["content"] for message in messages)


def _paired(fields: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The fields of a pair, with `response` as `chosen` and `rejected`."""
    answers = fields.get("response")
    if answers is None or {*PAIRS} & fields.keys():
        return fields
    if not isinstance(answers, list) or len(answers) != len(PAIRS):
        raise InputError(f"{place}: field 'response' holds {_shown(answers)}; write the chosen and the rejected answer")
    return {**fields, **dict(zip(PAIRS, answers, strict=True))}


def _with_input(fields: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """The fields of an instruction, with `input` on lines of its own after it; it is often empty."""
    own, more = fields.get("instruction"), fields.get("input")
    if not more or not isinstance(own, str):
        return fields
    if not isinstance(more, str):
        raise InputError(f"{place}: field 'input' holds {_shown(more)}; write a text, or remove it")
    return {**fields, "instruction": f"{own}\n{more}"}


def _turns(value: Any, name: str, role: str, kind: Format, place: str) -> list[Message]:
    """The messages of one field: of a text one; prompts and completions may also be messages."""
    if isinstance(value, str):
        return [_message(role, value, f"field {name!r}", place)]
    if kind not in ("question_answer", "instruction_output") and isinstance(value, list):
        return _messages(value, name, place)
    raise InputError(f"{place}: field {name!r} holds {_shown(value)}; write a text, or remove the row")


def _messages(value: Any, name: str, place: str) -> list[Message]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise InputError(
            f"{place}: field {name!r} holds {_shown(value)}; write a list of messages, each with role and content, or "
            "remove the row"
        )
    messages = []
    for number, message in enumerate(value, start=1):
        role, content = (message.get(key) for key in ("role", "content")) if isinstance(message, Mapping) else (0, 0)
        where = f"message {number} of field {name!r}"
        if not isinstance(role, str) or not isinstance(content, str):
            raise InputError(f"{place}: {where} is {_shown(message)}; write texts in its fields role and content")
        messages.append(_message(role, content, where, place))
    return messages


def _message(role: str, content: str, where: str, place: str) -> Message:
    if not content.strip():
        raise InputError(f"{place}: {where} is empty; give it a text, or remove the row")
    check_unicode(content, place)
    return Message(role=role, content=content)


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:60]
