"""Text sources: hub datasets and local files, read row by row."""

import glob
import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow
import pyarrow.parquet
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetNotFoundError

from lit_unlearn.errors import InputError

LOCAL_SUFFIXES = (".jsonl", ".json", ".parquet", ".txt")
"""What local files end in; each but parquet also with `.gz`."""


@dataclass(frozen=True)
class TextSource:
    """Where the rows of a stream come from. Each record's text is one row."""

    path: str
    """Name of a hub dataset, or local .jsonl / .json / .parquet / .txt files (.gz too); a glob is allowed. Text files
    hold one row per line."""
    name: str | None = None
    """Configuration of the hub dataset."""
    split: str = "train"
    """Split of the hub dataset."""
    column: str = "text"
    """The field or column that holds the text."""
    min_length: int = 50
    """Rows with no more characters than this are dropped, as published: headings and blank lines."""
    max_length: int = 512
    """Rows are cut after this many tokens."""

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.removesuffix(".gz").endswith(LOCAL_SUFFIXES)


def load_texts(source: TextSource) -> Dataset:
    """The rows of a source that are long enough: a dataset with one column, `text`.

    Raises:
        InputError: the source is not there, not readable or empty; a local file's error names the line.
    """
    texts = _from_files(source) if source.is_local() else _from_hub(source)
    texts = texts.filter(
        lambda batch: [len(text) > source.min_length for text in batch], input_columns=["text"], batched=True
    )
    if len(texts) == 0:
        raise InputError(
            f"{source.path}: no row has more than {source.min_length} characters; check the source, or lower min_length"
        )
    return texts


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
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: not UTF-8 text or not whole ({error}); write the file again as UTF-8") from error


def _open(path: str) -> IO[str]:
    if path.endswith(".gz"):
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig"))
    return open(path, encoding="utf-8-sig")


def _from_files(source: TextSource) -> Dataset:
    paths = sorted(glob.glob(source.path, recursive=True)) if glob.has_magic(source.path) else [source.path]
    missing = [path for path in paths if not Path(path).is_file()]
    if not paths or missing:
        raise InputError(f"{source.path}: no such file; local paths are relative to the working directory {Path.cwd()}")
    # Size and time are part of the cache's key: a changed file is read again.
    stamps = [(path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths]
    try:
        dataset = Dataset.from_generator(
            _records, gen_kwargs={"paths": paths, "column": source.column, "stamps": (stamps,)}
        )
    except Exception as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return cast(Dataset, dataset)


def _records(paths: Sequence[str], column: str, stamps: Any) -> Iterator[dict[str, str]]:
    del stamps
    for text in read_files(paths, column):
        yield {"text": text}


def _from_hub(source: TextSource) -> Dataset:
    try:
        dataset = load_dataset(source.path, source.name, split=source.split)
    except (DatasetNotFoundError, ConnectionError, FileNotFoundError, ValueError) as error:
        raise InputError(
            f"{source.path}: this hub dataset cannot be loaded ({str(error).splitlines()[0]}); if it is gated, ask for "
            f"access at https://huggingface.co/datasets/{source.path} and log in with `hf auth login`; or give a local "
            f"file ({', '.join(LOCAL_SUFFIXES)})"
        ) from error
    if source.column not in dataset.column_names:
        raise InputError(f"{source.path}: no column {source.column!r}; it has {', '.join(dataset.column_names)}")
    texts = dataset.select_columns([source.column])
    return cast(Dataset, texts if source.column == "text" else texts.rename_column(source.column, "text"))


def _read_text(lines: IO[str], path: str, column: str) -> Iterator[str]:
    kind = path.removesuffix(".gz").rpartition(".")[2]
    if kind == "txt":
        yield from (line.rstrip("\n") for line in lines)
    elif kind == "json":
        yield from _read_json(lines.read(), path, column)
    else:
        yield from _read_json_lines(lines, path, column)


def _read_json(content: str, path: str, column: str) -> Iterator[str]:
    """A JSON array of records; a .json file of JSON lines is read as such."""
    if not content.lstrip().startswith("["):
        yield from _read_json_lines(content.splitlines(), path, column)
        return
    try:
        records = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not JSON ({error.msg}); mend the file") from error
    for number, record in enumerate(records, start=1):
        yield _text_of(record, column, f"{path}, record {number}")


def _read_json_lines(lines: Iterable[str], path: str, column: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error.msg}); mend or remove the line") from error
        yield _text_of(record, column, f"{path}, line {number}")


def _read_parquet(path: str, column: str) -> Iterator[str]:
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a parquet file ({error})") from error
    for number, record in enumerate(table.to_pylist(), start=1):
        yield _text_of(record, column, f"{path}, row {number}")


def _text_of(record: Any, column: str, place: str) -> str:
    text = record.get(column) if isinstance(record, dict) else None
    if not isinstance(text, str):
        found = f"fields {', '.join(map(str, record))}" if isinstance(record, dict) else f"a {type(record).__name__}"
        raise InputError(f"{place}: no text in field {column!r} ({found}); set `column` to the field with the text")
    return text
