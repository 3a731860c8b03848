"""Sets of questions with their answers, and with other answers to compare them with: where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lit_unlearn.data.files import check_unicode
from lit_unlearn.data.text import check_hub_name
from lit_unlearn.errors import InputError
from lit_unlearn.questions.records import LOCAL_SUFFIXES, evenly, from_files, from_hub

Role = Literal["forget", "retain", "general", "holdout"]
"""forget: what is to be unlearned. retain: what is to stay. general: knowledge of the world (TOFU's real authors and
world facts), asked beside wrong answers. holdout: rows like those to forget that no model has seen."""


class AnswerRow(NamedTuple):
    """A question, its answer, and other answers."""

    question: str
    answer: str
    paraphrased: tuple[str, ...]
    """The right answer in other words."""
    perturbed: tuple[str, ...]
    """Wrong answers of the same form."""
    number: int
    """Its place in its source, counted before any limit."""


@dataclass(frozen=True)
class AnswerSource:
    """Where a set of questions with free answers comes from."""

    path: str
    """Name of a hub dataset, or local .jsonl, .json, .csv or .parquet files (.gz too, but for .parquet); a glob is
    allowed."""
    role: Role
    """forget, retain, general (knowledge of the world, asked beside wrong answers) or holdout (rows like those to
    forget that no model has seen)."""
    name: str | None = None
    """Configuration of the hub dataset."""
    split: str = "train"
    """Split of the hub dataset."""
    question: str = "question"
    """The field with the question."""
    answer: str = "answer"
    """The field with the answer."""
    paraphrased: str = "paraphrased_answer"
    """The field with the answer in other words, one or a list; a source without it has no truth ratio."""
    perturbed: str = "perturbed_answer"
    """The field with wrong answers, one or a list; a source without it has no truth ratio."""
    limit: int | None = None
    """Evaluate on this number of rows, evenly spread over the set; None evaluates on all."""
    chat_template: str | None = None
    """The chat template, as text or as the path of a .jinja file; None takes that of the model's tokenizer."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 2:
            raise InputError(
                f"{self.path}: limit {self.limit} gives no standard error; give 2 or more, or null for all"
            )

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.endswith(LOCAL_SUFFIXES)


def load_answers(source: AnswerSource) -> list[AnswerRow]:
    """The rows of a source, in its order.

    Raises:
        InputError: the source is not there, has fewer than 2 rows or holds a malformed record; the message names file
            and line.
    """
    records = from_files(source.path) if source.is_local() else from_hub(source.path, source.name, source.split)
    rows = [_row(record, place, number, source) for number, (place, record) in enumerate(records)]
    if len(rows) < 2:
        raise InputError(f"{source.path}: {len(rows)} rows give no standard error; give a source with 2 or more")
    return evenly(rows, source.limit)


def check_answers(source: AnswerSource) -> None:
    """A source can be read, as its first row shows; of the hub nothing is loaded.

    Args:
        source: of a set.

    Raises:
        InputError: as `load_answers`.
    """
    if not source.is_local():
        check_hub_name(source.path, LOCAL_SUFFIXES)
        return
    first = next(from_files(source.path), None)
    if first is None:
        raise InputError(f"{source.path}: 0 rows give no standard error; give a source with 2 or more")
    _row(first[1], first[0], 0, source)


def _row(record: Mapping[str, Any], place: str, number: int, source: AnswerSource) -> AnswerRow:
    question, answer = (_one(record, name, place) for name in (source.question, source.answer))
    others = [_several(record, name, place) for name in (source.paraphrased, source.perturbed)]
    return AnswerRow(question, answer, others[0], others[1], number)


def _one(record: Mapping[str, Any], name: str, place: str) -> str:
    if name not in record:
        fields = ", ".join(map(str, record)) or "none"
        raise InputError(f"{place}: no field {name!r} (fields {fields}); name the fields of the source's records")
    return _text(record[name], name, place)


def _several(record: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = record.get(name)
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise InputError(f"{place}: field {name!r} holds a {type(value).__name__}; write a text or a list of texts")
    return tuple(_text(one, name, place) for one in values)


def _text(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: field {name!r} holds no text; write one, or remove the row")
    check_unicode(value, place)
    return value
