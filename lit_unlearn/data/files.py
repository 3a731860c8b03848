"""Local files, read record by record."""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, cast

import pyarrow
import pyarrow.parquet

from lit_unlearn.errors import InputError

LOCAL_SUFFIXES = (".jsonl", ".json", ".txt", ".jsonl.gz", ".json.gz", ".txt.gz", ".parquet")
"""What local files end in."""


def read_files(paths: Sequence[str], column: str) -> Iterator[str]:
    """The texts of local files, in the order given.

    Raises:
        InputError: a line or record is malformed; the message names file and line.
    """
    for path in paths:
        if path.endswith(".parquet"):
            yield from _read_parquet(path, column)
            continue
        try:
            with _open(path) as lines:
                yield from _read_text(lines, path, column)
        except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path}: not UTF-8 text or not whole ({error}); write the file again as UTF-8") from error


def read_json_lines(lines: Iterable[str], path: str) -> Iterator[tuple[str, Any]]:
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
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path}, line {number}", _parse(line.rstrip(), path, number)


def _open(path: str) -> IO[str]:
    if path.endswith(".gz"):
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig"))
    return open(path, encoding="utf-8-sig")


def _read_text(lines: IO[str], path: str, column: str) -> Iterator[str]:
    kind = path.removesuffix(".gz").rpartition(".")[2]
    if kind == "txt":
        yield from (line.rstrip("\n") for line in lines)
    elif kind == "json":
        yield from _read_json(lines.read(), path, column)
    else:
        yield from (_text_of(record, column, place) for place, record in read_json_lines(lines, path))


def _read_json(content: str, path: str, column: str) -> Iterator[str]:
    """A JSON array of records; a .json file of JSON lines is read as such."""
    if not content.lstrip().startswith("["):
        yield from (_text_of(record, column, place) for place, record in read_json_lines(io.StringIO(content), path))
        return
    for number, record in enumerate(_parse(content, path, 1), start=1):
        yield _text_of(record, column, f"{path}, record {number}")


def _parse(content: str, path: str, line: int) -> Any:
    """The JSON value that begins at a line of a file."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        place, reason = f"{path}, line {line + error.lineno - 1}", error.msg
    except (ValueError, RecursionError) as error:
        place, reason = f"{path}, line {line}", str(error)
    raise InputError(f"{place}: not JSON ({reason}); mend or remove the line")


def _read_parquet(path: str, column: str) -> Iterator[str]:
    try:
        file = pyarrow.parquet.ParquetFile(path)
        columns = [column] if column in file.schema_arrow.names else None
        records = (record for batch in file.iter_batches(columns=columns) for record in batch.to_pylist())
        for number, record in enumerate(records, start=1):
            yield _text_of(record, column, f"{path}, row {number}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a parquet file, or not whole ({error}); write it again") from error


def _text_of(record: Any, column: str, place: str) -> str:
    text = record.get(column) if isinstance(record, dict) else None
    if not isinstance(text, str):
        found = f"fields {', '.join(map(str, record))}" if isinstance(record, dict) else f"a {type(record).__name__}"
        holds = (
            f", which holds {json.dumps(text, default=str)[:40]}"
            if isinstance(record, dict) and column in record
            else ""
        )
        raise InputError(
            f"{place}: no text in field {column!r} ({found}){holds}; set `column` to the field with the text"
        )
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{place}: half of a surrogate pair (\\ud800 to \\udfff) is no text; mend or remove it")
    return text
