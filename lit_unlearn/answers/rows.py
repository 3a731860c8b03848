"""The rows of a set of questions with free answers, read from its source."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lit_unlearn.answers.options import Choice, lettered, with_targets
from lit_unlearn.answers.source import AnswerSource, check_place
from lit_unlearn.data.files import check_unicode, is_about
from lit_unlearn.errors import InputError
from lit_unlearn.questions.records import Fields, evenly, from_files, from_hub


class AnswerRow(NamedTuple):
    """A question, its answer, and other answers."""

    question: str | None
    """None of a text that is scored alone."""
    answer: str | None
    """None where nothing is right."""
    paraphrased: tuple[str, ...]
    """The right answer in other words."""
    perturbed: tuple[str, ...]
    """Wrong answers of the same form."""
    number: int
    """Its place in its source, counted before any limit."""
    accepted: tuple[str, ...] = ()
    """Right answers, the first of which is `answer`, where the source has several."""
    kind: str | None = None
    """Its field `type`, where some types are asked in a way of their own."""
    context: str = ""
    """What is shown before the question."""
    rivals: int | None = None
    """Of a multiple-choice question, how many of `perturbed`, the first ones, `answer` competes with."""


def load_answers(source: AnswerSource) -> list[AnswerRow]:
    """The rows of a source, in its order.

    Raises:
        InputError: the source is not there, has fewer than 2 rows or holds a malformed record; the message names file
            and line.
    """
    rows = [_row(record, place, number, source) for number, (place, record) in enumerate(_records(source))]
    if len(rows) < 2:
        raise InputError(
            f"{source.path}: {len(rows)} rows{_of(source)} give no standard error; give a source with 2 or more"
        )
    return evenly(rows, source.limit)


def load_examples(source: AnswerSource) -> list[AnswerRow]:
    """The questions with answers that are shown before each of a source's; empty where it has none.

    Raises:
        InputError: as `load_answers`; one is enough.
    """
    if source.examples is None:
        return []
    shown = source.parts()[1]
    rows = [_row(record, place, number, shown) for number, (place, record) in enumerate(_records(shown))]
    if not rows:
        raise InputError(f"{shown.path}: no examples; give a source with rows, or remove `examples`")
    return rows


def check_answers(source: AnswerSource) -> None:
    """A source and its examples can be read, as their first rows show; of the hub nothing is loaded.

    Args:
        source: of a set.

    Raises:
        InputError: as `load_answers`.
    """
    for part in source.parts():
        if not part.is_local():
            check_place(part)
            continue
        first = next(_records(part), None)
        if first is None:
            raise InputError(f"{part.path}: 0 rows{_of(part)} give no standard error; give a source with 2 or more")
        _row(first[1], first[0], 0, part)


def _records(source: AnswerSource) -> Iterator[Fields]:
    found = from_files(source.path) if source.is_local() else from_hub(source.path, source.name, source.split)
    return ((place, record) for place, record in found if is_about(record, source.subjects, place))


def _of(source: AnswerSource) -> str:
    return f" about {', '.join(source.subjects)}" if source.subjects else ""


def _row(record: Mapping[str, Any], place: str, number: int, source: AnswerSource) -> AnswerRow:
    kind = _one(record, "type", place) if source.by_type else None
    if source.options is not None:
        return _chosen(_CHOICES[source.options](record, place), number, kind, place)
    question = None if source.question is None else _one(record, source.question, place)
    right = () if source.answer is None else _right(record, source.answer, place)
    paraphrased, perturbed = (_several(record, name, place) for name in (source.paraphrased, source.perturbed))
    accepted = right if len(right) > 1 else ()
    context = "" if source.context is None else _one(record, source.context, place).strip()
    return AnswerRow(question, next(iter(right), None), paraphrased, perturbed, number, accepted, kind, context)


_CHOICES = {"letters": lettered, "targets": with_targets}


def _chosen(choice: Choice, number: int, kind: str | None, place: str) -> AnswerRow:
    """A multiple-choice question: the right answers other than the first are those in other words."""
    for text in (choice.question, choice.context, *choice.right, *choice.wrong):
        check_unicode(text, place)
    right, *others = choice.right
    return AnswerRow(
        choice.question,
        right,
        tuple(others),
        choice.wrong,
        number,
        kind=kind,
        context=choice.context,
        rivals=choice.rivals,
    )


def _right(record: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    """The right answers, of which there is at least one."""
    if not isinstance(record.get(name), list):
        return (_one(record, name, place),)
    found = _several(record, name, place)
    if not found:
        raise InputError(f"{place}: field {name!r} holds no text; write one, or remove the row")
    return tuple(dict.fromkeys(found))


def _one(record: Mapping[str, Any], name: str, place: str) -> str:
    if name not in record:
        fields = ", ".join(map(str, record)) or "none"
        raise InputError(f"{place}: no field {name!r} (fields {fields}); name the fields of the source's records")
    return _text(record[name], name, place)


def _several(record: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = record.get(name)
    if value is None:
        return ()
    values: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise InputError(f"{place}: field {name!r} holds a {type(value).__name__}; write a text or a list of texts")
    return tuple(_text(one, name, place) for one in values)


def _text(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: field {name!r} holds no text; write one, or remove the row")
    check_unicode(value, place)
    return value
