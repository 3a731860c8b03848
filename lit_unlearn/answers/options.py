"""Multiple-choice records as a question, right answers and wrong ones: in the fields of MMLU and of TruthfulQA."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_key import LETTERS, answer_of, options_of


class Choice(NamedTuple):
    """A question with its options."""

    question: str
    right: tuple[str, ...]
    """The first is the one that is asked for."""
    wrong: tuple[str, ...]
    rivals: int
    """Of the wrong answers the first ones, with which that competes."""
    context: str = ""
    """What stands before the question: examples."""


def lettered(record: Mapping[str, Any], place: str) -> Choice:
    r"""A record in MMLU's fields, whose answers are letters.

    Args:
        record: with `question`, `choices` and `answer`, the number of the right one from 0, or its letter; with
            `examples`, a list of such records, and `task`, what they are about, these are its context.
        place: of the record, for errors.

    Raises:
        InputError: the record is not of that form.

    Example:
        >>> lettered({"question": "Half of 4?", "choices": ["1", "2", "3"], "answer": 1}, "a.json, row 1")[:4]
        ('Half of 4?\nA. 1\nB. 2\nC. 3', ('B',), ('A', 'C'), 2)
    """
    question, right, letters = _listed(record, place)
    wrong = tuple(letter for letter in letters if letter != right)
    return Choice(question, (right,), wrong, len(wrong), _context(record, place))


def with_targets(record: Mapping[str, Any], place: str) -> Choice:
    """A record in TruthfulQA's fields.

    Args:
        record: with `question`; `mc1_targets`, whose `choices` have one right answer by their `labels` (1, the others
            0); and `mc2_targets`, the same with any number of right ones.
        place: of the record, for errors.

    Raises:
        InputError: the record is not of that form.

    Example:
        >>> one, all = ({"choices": c, "labels": [1, 0]} for c in (["yes", "no"], ["yes", "maybe"]))
        >>> with_targets({"question": "Is it?", "mc1_targets": one, "mc2_targets": all}, "a.json, row 1")[:4]
        ('Is it?', ('yes',), ('no', 'maybe'), 1)
    """
    (best, *more), rivals = _targets(record, "mc1_targets", place)
    if more:
        raise InputError(f"{place}: mc1_targets has {len(more) + 1} right choices; label one of them 1")
    right, wrong = _targets(record, "mc2_targets", place)
    others = [answer for answer in right if answer != best]
    return Choice(
        _text(record, "question", place), (best, *others), tuple(dict.fromkeys([*rivals, *wrong])), len({*rivals})
    )


def _listed(record: Mapping[str, Any], place: str) -> tuple[str, str, Sequence[str]]:
    """The question with its options, the letter of the right one, and all letters."""
    options = options_of(record, place)
    letters = LETTERS[: len(options.texts)]
    shown = (f"{letter}. {text}" for letter, text in zip(letters, options.texts, strict=True))
    return (
        "\n".join([_text(record, "question", place), *shown]),
        letters[answer_of(record, options, place, first=0)],
        letters,
    )


def _context(record: Mapping[str, Any], place: str) -> str:
    """The examples of a record, each with its answer and a blank line."""
    examples = record.get("examples")
    if examples is None:
        return ""
    if not isinstance(examples, list) or not all(isinstance(one, Mapping) for one in examples):
        raise InputError(f"{place}: field 'examples' holds {type(examples).__name__}; write a list of such records")
    about = _text(record, "task", place).replace("_", " ")
    listed = (_listed(one, f"{place}, example {number}")[:2] for number, one in enumerate(examples, start=1))
    shown = "".join(f"Question: {question}\nAnswer: {right}\n\n" for question, right in listed)
    return f"The following are multiple choice questions (with answers) about {about}.\n\n{shown}"


def _targets(record: Mapping[str, Any], name: str, place: str) -> tuple[list[str], list[str]]:
    """The right and the wrong choices of a field."""
    value = record.get(name)
    choices, labels = (value.get("choices"), value.get("labels")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(choices, list) or not isinstance(labels, list) or len(choices) != len(labels):
        raise InputError(f"{place}: field {name!r} holds {value!r:.60}; write choices with as many labels, 1 or 0")
    if not all(isinstance(text, str) and text.strip() for text in choices) or {*labels} != {0, 1}:
        raise InputError(
            f"{place}: field {name!r} needs texts, some labelled 1 (right) and some 0; correct or remove it"
        )
    right, wrong = ([text for text, label in zip(choices, labels, strict=True) if label == one] for one in (1, 0))
    return right, wrong


def _text(record: Mapping[str, Any], name: str, place: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        fields = ", ".join(map(str, record)) or "none"
        raise InputError(f"{place}: field {name!r} holds no text (fields {fields}); write one, or remove the row")
    return value
