"""The records of question sets: of local files and hub datasets."""

import csv
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.exceptions import DatasetsError

from lit_unlearn.data.draws import Item
from lit_unlearn.data.files import fields_of, kind, opened, read_records
from lit_unlearn.data.hub import check_dataset_reachable
from lit_unlearn.data.text import check_hub_name
from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_key import FEWEST, LETTERS

LOCAL_SUFFIXES = (".csv", ".jsonl", ".json", ".parquet", ".csv.gz", ".jsonl.gz", ".json.gz")
"""What local files of questions end in."""
Fields = tuple[str, Mapping[str, Any]]
"""The place of a record, for errors, and its fields."""
_FIELDS = "an object with question, choices, answer, subject"


def from_files(path: str) -> Iterator[Fields]:
    """The records of local files, in the order of their names.

    Args:
        path: of a file, or a pattern of paths.

    Raises:
        InputError: there is no such file, or one cannot be read; the message names file and line.
    """
    paths = [path] if Path(path).is_file() else sorted(glob.glob(path, recursive=True))
    if not paths:
        raise InputError(f"{path}: no such file; local paths are relative to the working directory {Path.cwd()}")
    for found in paths:
        if kind(found) == "csv":
            yield from _read_csv(found)
        else:
            yield from ((place, fields_of(one, place, wanted=_FIELDS)) for place, one in read_records(found))


def from_hub(path: str, name: str | None, split: str) -> Iterator[Fields]:
    """The records of a hub dataset.

    Args:
        path: its name.
        name: its configuration.
        split: its split.

    Raises:
        InputError: it cannot be loaded.
    """
    check_hub_name(path, LOCAL_SUFFIXES)
    check_dataset_reachable(path)
    try:
        rows = load_dataset(path, name, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: this hub dataset cannot be loaded ({reason}); set `name` and `split` to what "
            f"https://huggingface.co/datasets/{path} offers, or give a local file ({', '.join(LOCAL_SUFFIXES)})"
        ) from error
    for number, record in enumerate(rows, start=1):
        yield f"{path}, row {number}", record


def evenly(rows: Sequence[Item], limit: int | None) -> list[Item]:
    """Some of the rows, evenly spread over all, in their order.

    Args:
        rows: of a set.
        limit: how many; None or more than there are gives all.

    Example:
        >>> evenly("abcdef", 3)
        ['a', 'c', 'e']
    """
    count = min(len(rows), limit or len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def _read_csv(path: str) -> Iterator[Fields]:
    subject = re.sub(r"_(test|dev|val)$", "", Path(path.removesuffix(".gz")).stem)
    with opened(path, newline="") as file:
        reader = csv.reader(file, strict=True)
        for line, row in _csv_rows(reader, path):
            place = f"{path}, line {line}"
            if not row or (line == 1 and (row[0], row[-1]) == ("question", "answer")):
                continue
            if not FEWEST + 2 <= len(row) <= len(LETTERS) + 2:
                raise InputError(
                    f"{place}: {len(row)} columns; write question, {FEWEST} to {len(LETTERS)} options, answer"
                )
            yield place, {"question": row[0], "choices": row[1:-1], "answer": row[-1], "subject": subject}


def _csv_rows(reader: Any, path: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each begins at; a quoted field may span lines."""
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: not CSV ({error}); fix its quotes") from error
