"""Text sources: hub datasets and local files."""

import glob
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from datasets import Dataset, Features, Value, load_dataset
from datasets.exceptions import DatasetsError

from lit_unlearn.data.files import LOCAL_SUFFIXES, read_files
from lit_unlearn.errors import InputError

_TEXT_TYPES = (Value("string"), Value("large_string"))


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

    def __post_init__(self) -> None:
        if self.max_length < 1 or self.min_length < 0:
            raise InputError(
                f"{self.path}: max_length {self.max_length} and min_length {self.min_length} cannot be; give 1 or more "
                "and 0 or more"
            )

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.endswith(LOCAL_SUFFIXES)

    def shown(self) -> str:
        """As files that are passed on describe it: a local file without where it lies.

        Example:
            >>> TextSource("folder/texts.jsonl").shown().split(",")[0]
            "TextSource(path='texts.jsonl'"
        """
        return str(replace(self, path=Path(self.path).name) if self.is_local() else self)


class HubError(InputError):
    """A hub dataset cannot be had."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: this hub dataset cannot be loaded ({reason}); if it is gated, ask for access at "
            f"https://huggingface.co/datasets/{path} and log in with `hf auth login`; or give a local file "
            f"({', '.join(LOCAL_SUFFIXES)})"
        )


def check_hub_name(path: str, suffixes: Sequence[str]) -> None:
    """A path is not that of a local file of another kind, of which the hub would be asked in vain.

    Args:
        path: without any of the suffixes.
        suffixes: of local files.

    Raises:
        InputError: it is.
    """
    if Path(path).is_file() or (path.startswith(("/", ".", "~")) and not Path(path).is_dir()):
        found = "is no local file of a kind" if Path(path).is_file() else "is no name of a hub dataset, nor of a file"
        raise InputError(f"{path}: {found} that can be read here; give one that ends in {', '.join(suffixes)}")


def load_texts(source: TextSource) -> Dataset:
    """The rows of a source that are long enough: a dataset with one column, `text`.

    Raises:
        InputError: the source is not there, not readable or empty; a local file's error names the line.
    """
    texts = _from_files(source) if source.is_local() else _from_hub(source)
    texts = texts.filter(
        _long_enough,
        with_indices=True,
        input_columns=["text"],
        batched=True,
        fn_kwargs={"path": source.path, "min_length": source.min_length},
    )
    if len(texts) == 0:
        raise InputError(
            f"{source.path}: no row has more than {source.min_length} characters; check the source, or lower min_length"
        )
    return texts


def _from_files(source: TextSource) -> Dataset:
    paths = _paths(source.path)
    # Size and time are part of the cache's key: a changed file is read again.
    stamps = tuple((path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths)
    try:
        dataset = Dataset.from_generator(
            _records,
            features=Features({"text": Value("string")}),
            gen_kwargs={"paths": tuple(paths), "column": source.column, "stamps": stamps},
        )
    except Exception as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return cast(Dataset, dataset)


def _paths(path: str) -> list[str]:
    """The files a path stands for; one whose name only looks like a pattern is itself."""
    paths = [path] if Path(path).is_file() else sorted(glob.glob(path, recursive=True))
    if not paths or not all(Path(found).is_file() for found in paths):
        raise InputError(f"{path}: no such file; local paths are relative to the working directory {Path.cwd()}")
    return paths


def _records(paths: Sequence[str], column: str, stamps: Any) -> Iterator[dict[str, str]]:
    del stamps
    texts = read_files(paths, column)
    first = next(texts, None)
    if first is None:
        raise InputError(f"{', '.join(paths)}: no rows; check the source")
    yield from ({"text": text} for text in itertools.chain([first], texts))


def _from_hub(source: TextSource) -> Dataset:
    check_hub_name(source.path, LOCAL_SUFFIXES)
    try:
        dataset = load_dataset(source.path, source.name, split=source.split)
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise HubError(source.path, reason) from error
    columns = [name for name, feature in dataset.features.items() if feature in _TEXT_TYPES]
    if source.column not in columns:
        raise InputError(
            f"{source.path}: no column {source.column!r} of text; set `column` to the one with the text "
            f"({', '.join(columns) or 'it has none'})"
        )
    texts = dataset.select_columns([source.column])
    return cast(Dataset, texts if source.column == "text" else texts.rename_column(source.column, "text"))


def _long_enough(texts: Sequence[str | None], indices: Sequence[int], *, path: str, min_length: int) -> list[bool]:
    for index, text in zip(indices, texts, strict=True):
        if text is None:
            raise InputError(f"{path}, row {index + 1}: no text; give a local file without such rows")
    return [text is not None and len(text) > min_length and not text.isspace() for text in texts]
