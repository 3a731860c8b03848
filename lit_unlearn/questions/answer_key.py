"""The options of a question's record and which of them is right, in the fields that data sets have them in."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from lit_unlearn.errors import InputError

LETTERS = tuple("ABCDEFGHIJ")
"""What options are called, one after another."""
FEWEST = 3
"""Options of a question, at least; at most as many as there are letters."""
_ANSWERS = ("answer", "answer_index", "answerKey")


class Options(NamedTuple):
    """The options of a question."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None
    """What the record calls them, where it does."""


def options_of(record: Mapping[str, Any], place: str) -> Options:
    """The options of a record: texts in `choices` or `options`, or ARC's `choices: {text: […], label: […]}`.

    Args:
        record: of one question.
        place: of the record, for errors.

    Raises:
        InputError: they are not 3 to 10 texts.

    Example:
        >>> options_of({"options": ["1", "2", "3"]}, "a.jsonl, line 1").texts
        ('1', '2', '3')
    """
    field = "options" if record.get("choices") is None and record.get("options") is not None else "choices"
    given = record.get(field)
    texts, labels = (given.get("text"), given.get("label")) if isinstance(given, Mapping) else (given, None)
    if not _are_texts(texts) or not FEWEST <= len(texts) <= len(LETTERS):
        raise InputError(
            f"{place}: the choices are {given!r}; write {FEWEST} to {len(LETTERS)} texts in field {field!r}"
        )
    if labels is not None and not (_are_texts(labels) and len({*labels}) == len(labels) == len(texts)):
        raise InputError(f"{place}: the labels are {labels!r}; write a different one for each of {len(texts)} texts")
    return Options(tuple(texts), None if labels is None else tuple(labels))


def answer_of(record: Mapping[str, Any], options: Options, place: str, *, first: int, option: str | None = None) -> int:
    """The index of the right option, which `answer`, `answer_index` or `answerKey` says.

    Where several do, they must agree; what is neither letter nor number beside one that is (the answer's text, as some
    data sets have it) is not read.

    Args:
        record: of one question.
        options: of that question.
        place: of the record, for errors.
        first: the number of the first option.
        option: of the source that says this number, for errors; None where there is none.

    Raises:
        InputError: none says it, or one says another than the other.

    Example:
        >>> answer_of({"answer": "c"}, Options(("1", "2", "3"), None), "a.jsonl, line 1", first=0)
        2
    """
    given = {name: record[name] for name in _ANSWERS if record.get(name) is not None}
    found = {name: index for name, value in given.items() if (index := _index(value, options, first)) is not None}
    if not found:
        raise InputError(
            f"{place}: the answer is {next(iter(given.values()), None)!r}; {_wanted(given, options, first, option)}"
        )
    if len({*found.values()}) > 1:
        said = ", ".join(f"{name} {given[name]!r}" for name in found)
        raise InputError(f"{place}: {said} are different options; correct or remove one")
    return next(iter(found.values()))


def _are_texts(values: Any) -> TypeGuard[Sequence[str]]:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)


def _index(value: Any, options: Options, first: int) -> int | None:
    """The option that a value names, if it names one."""
    name = str(value).strip()
    if options.labels is not None:
        return options.labels.index(name) if name in options.labels else None
    letters = LETTERS[: len(options.texts)]
    if name.upper() in letters:
        return letters.index(name.upper())
    index = int(name) - first if name.isdecimal() and name.isascii() and len(name) < 3 else -1
    return index if 0 <= index < len(options.texts) else None


def _wanted(given: Mapping[str, Any], options: Options, first: int, option: str | None) -> str:
    """What an answer may be."""
    if options.labels is not None:
        return f"write one of the labels {', '.join(options.labels)}"
    last = len(options.texts) - 1
    wanted = f"write a letter A to {LETTERS[last]} or an index {first} to {first + last}"
    from_one = first == 0 and any(str(value).strip() == str(last + 1) for value in given.values())
    return f"{wanted}, or set `{option}: 1` of the source where answers count from 1" if from_one and option else wanted
