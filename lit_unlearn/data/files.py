"""Local files, read record by record."""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

import pyarrow
import pyarrow.parquet

from lit_unlearn.data.formats import suggested
from lit_unlearn.errors import InputError

LOCAL_SUFFIXES = (".jsonl", ".json", ".txt", ".jsonl.gz", ".json.gz", ".txt.gz", ".parquet")
"""What local files end in."""
Record = tuple[str, Any]
"""The place of a record, for errors, and its value."""
_SIGN = re.compile(r"\S")


def read_files(paths: Sequence[str], column: str) -> Iterator[str]:
    """The texts of local files, in the order given.

    Raises:
        InputError: a line or record is malformed; the message names file and line.
    """
    for path in paths:
        if kind(path) == "txt":
            with opened(path) as lines:
                yield from (line.rstrip("\n") for line in lines)
        else:
            yield from (text_of(record, column, place) for place, record in read_records(path, columns=[column]))


def read_records(path: str, *, columns: Sequence[str] = ()) -> Iterator[Record]:
    """The records of a .jsonl, .json or .parquet file: the values of JSON lines or of a JSON array, rows of a table.

    Values of a .json file that is not an array may each span several lines.

    Args:
        path: of the file.
        columns: all that is needed of a table that has them.

    Raises:
        InputError: the file cannot be read; the message names file and line.
    """
    if kind(path) == "parquet":
        yield from _read_parquet(path, columns)
        return
    with opened(path) as lines:
        yield from _read_json(lines.read(), path) if kind(path) == "json" else read_json_lines(lines, path)


def read_json_lines(lines: Iterable[str], path: str) -> Iterator[Record]:
    """The place, for errors, and the value of each line of JSON; empty lines are left out.

    Args:
        lines: of a file.
        path: of that file.

    Raises:
        InputError: a line is not JSON; the message names file and line.

    Example:
        >>> list(read_json_lines(['{"a": 1}', "", "2"], "a.jsonl"))
        [('a.jsonl, line 1', {'a': 1}), ('a.jsonl, line 3', 2)]
    """
    first = True
    for number, line in enumerate(lines, start=1):
        if line.strip():
            if first and not _complete(line):
                raise InputError(
                    f"{path}, line {number}: the JSON value does not end on this line; write each record on one line, "
                    "or give the file a name that ends in .json, whose values may span lines"
                )
            first = False
            yield f"{path}, line {number}", _parse(line.rstrip(), path, number)


def kind(path: str) -> str:
    """What a file holds, by its name.

    Example:
        >>> kind("texts/a.jsonl.gz")
        'jsonl'
    """
    return path.removesuffix(".gz").rpartition(".")[2]


@contextmanager
def opened(path: str, *, newline: str | None = None) -> Iterator[IO[str]]:
    """A file of text for reading, compressed or not.

    Args:
        path: of the file.
        newline: as in `open`.

    Raises:
        InputError: it is not text.
    """
    try:
        if path.endswith(".gz"):
            with cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=newline)) as file:
                yield file
        else:
            with open(path, encoding="utf-8-sig", newline=newline) as file:
                yield file
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: not UTF-8 text or not whole ({error}); write the file again as UTF-8") from error


def fields_of(record: Any, place: str, *, wanted: str) -> Mapping[str, Any]:
    """A record, if it has fields.

    Args:
        record: a value of a file.
        place: of the record.
        wanted: what is to be written there.

    Raises:
        InputError: it has none.
    """
    if isinstance(record, Mapping):
        return record
    if record is None:
        raise InputError(f"{place}: null instead of a record; remove it, or write {wanted}")
    array = "; if the file is one JSON array, give it a name that ends in .json" if isinstance(record, list) else ""
    raise InputError(f"{place}: a {type(record).__name__}; write {wanted}{array}")


def text_of(record: Any, column: str, place: str) -> str:
    """The text in a field of a record.

    Raises:
        InputError: there is none.
    """
    fields = fields_of(record, place, wanted=f"an object with the text in field {column!r}")
    text = fields.get(column)
    if text is None and column in fields:
        raise InputError(f"{place}: no text in field {column!r}, which holds null; remove the row, or give it a text")
    if not isinstance(text, str):
        kind = suggested(fields)
        other = f", or `format` of the source to {kind}" if kind else ""
        holds = f", which holds {json.dumps(text, default=str)[:40]}" if column in fields else ""
        raise InputError(
            f"{place}: no text in field {column!r} (fields {', '.join(map(str, fields))}){holds}; set `column` to the "
            f"field with the text{other}"
        )
    check_unicode(text, place)
    return text


def is_about(record: Any, subjects: Sequence[str], place: str) -> bool:
    """Whether a record's field `subject` is one of the subjects; where none are named it always is.

    Raises:
        InputError: it has no such field.

    Example:
        >>> is_about({"subject": "Ada", "text": "a"}, ["Ada", "Bo"], "a.jsonl, line 1")
        True
    """
    if not subjects:
        return True
    fields = fields_of(record, place, wanted="an object with the field 'subject'")
    if "subject" not in fields:
        raise InputError(f"{place}: no field 'subject' (fields {', '.join(map(str, fields))}); name no subjects")
    return fields["subject"] in subjects


def check_unicode(text: str, place: str) -> None:
    """A text can be written as UTF-8.

    Raises:
        InputError: it cannot.
    """
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{place}: half of a surrogate pair (\\ud800 to \\udfff) is not text; fix or remove it")


def _read_json(content: str, path: str) -> Iterator[Record]:
    """The values of a .json file: of its array, whose texts are records of a text, of its lines, or one by one."""
    text = content.lstrip()
    if text.startswith("["):
        for number, record in enumerate(_parse(content, path, 1), start=1):
            yield f"{path}, record {number}", {"text": record} if isinstance(record, str) else record
    elif _complete(text.partition("\n")[0]):
        yield from read_json_lines(content.split("\n"), path)
    else:
        yield from _read_values(content, path)


def _read_values(content: str, path: str) -> Iterator[Record]:
    """JSON values that may span lines, one after another."""
    end, line, decoder = 0, 1, json.JSONDecoder()
    while (start := _next(content, end)) < len(content):
        line += content.count("\n", end, start)
        try:
            value, end = decoder.raw_decode(content, start)
        except (ValueError, RecursionError):
            _parse(content[start:], path, line)  # whose error names the line
            raise
        yield f"{path}, line {line}", value
        line += content.count("\n", start, end)


def _next(content: str, place: int) -> int:
    """Where the next value begins, or the content ends."""
    found = _SIGN.search(content, place)
    return found.start() if found else len(content)


def _complete(line: str) -> bool:
    """Whether a line is not the beginning of a value that is written over several."""
    text = line.strip()
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return not (text.endswith(("{", "[", ",")) and error.pos >= len(text) - 1)
    except (ValueError, RecursionError):
        pass
    return True


def _parse(content: str, path: str, line: int) -> Any:
    """The JSON value that begins at a line of a file."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        place, reason = f"{path}, line {line + error.lineno - 1}", error.msg
    except (ValueError, RecursionError) as error:
        place, reason = f"{path}, line {line}", str(error)
    raise InputError(f"{place}: not JSON ({reason}); fix or remove the line")


def _read_parquet(path: str, columns: Sequence[str]) -> Iterator[Record]:
    try:
        file = pyarrow.parquet.ParquetFile(path)
        needed = list(columns) if columns and set(columns) <= set(file.schema_arrow.names) else None
        records = (record for batch in file.iter_batches(columns=needed) for record in batch.to_pylist())
        for number, record in enumerate(records, start=1):
            yield f"{path}, row {number}", record
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a parquet file, or not whole ({error}); write it again") from error
