"""Rows whose class is known, from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.files import LOCAL_SUFFIXES, fields_of, read_records, text_of
from lit_unlearn.errors import InputError

_WANTED = 'an object such as {"class": "retain", "text": "..."}'


class TrustedRow(NamedTuple):
    """A text and its class."""

    text: str
    label: int


def read_trusted(path: Path, classes: Sequence[str]) -> list[TrustedRow]:
    """The trusted rows of a file of records with `class` and `text`.

    Args:
        path: of the file.
        classes: the names of all classes.

    Raises:
        InputError: the file is not there or malformed, names an unknown class, or has no row of one.
    """
    if not path.is_file() or not str(path).endswith(LOCAL_SUFFIXES) or ".txt" in path.suffixes:
        raise InputError(f"--trusted: {path} is not a file of records; give a .jsonl, .json or .parquet file")
    rows = [_row(record, place, classes) for place, record in read_records(str(path))]
    for label, name in enumerate(classes):
        if all(row.label != label for row in rows):
            raise InputError(f"--trusted: {path} has no row of {name}; give some of each of {', '.join(classes)}")
    return rows


def tokenised(rows: Sequence[TrustedRow], tokenizer: PreTrainedTokenizerBase, longest: int) -> list[list[int]]:
    """The token ids of each row.

    Args:
        rows: texts.
        tokenizer: the model's.
        longest: rows are cut after this many tokens.
    """
    texts = [row.text for row in rows]
    found: list[list[int]] = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
    return found


def _row(record: object, place: str, classes: Sequence[str]) -> TrustedRow:
    fields = fields_of(record, place, wanted=_WANTED)
    name = fields.get("class")
    if name not in classes:
        raise InputError(f"{place}: class {name!r} is none of these rows'; write one of {', '.join(classes)}")
    return TrustedRow(text_of(fields, "text", place), classes.index(name))
