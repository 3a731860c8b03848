"""Text sources: hub datasets and local files, of plain texts or of conversations."""

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from datasets import Dataset, Features, List, Value, load_dataset, load_dataset_builder
from datasets.exceptions import DatasetsError

from lit_unlearn.data.conversations import conversation, plain
from lit_unlearn.data.files import LOCAL_SUFFIXES, is_about, kind, read_files, read_records, text_of
from lit_unlearn.data.formats import FIELDS, Format, suggested
from lit_unlearn.data.hub import check_dataset_reachable
from lit_unlearn.errors import InputError

_READ_IN_FOLDERS = (".jsonl", ".jsonl.gz", ".txt", ".txt.gz", ".parquet", ".csv")
"""Endings of data in a folder; files .json may describe it."""
_READ_WHOLE = 2**25
"""Bytes of local files up to which a check reads every row: in a second or so."""
_WORD = re.compile(r"\S+\s*")
_TEXT_TYPES = (Value("string"), Value("large_string"))
_CONVERSATIONS = Features(
    {"text": Value("string"), "messages": List({"role": Value("string"), "content": Value("string")})}
)


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
    """The field or column that holds the text, of format text."""
    min_length: int = 50
    """Rows of format text with no more characters than this are dropped, as published: headings and blank lines."""
    max_length: int = 512
    """Rows are cut after this many tokens."""
    format: Format = "text"
    """What a record holds: a text, chat `messages`, or `prompt` and `completion`, or `question` and `answer`; or a pair
    of answers, `prompt` with `chosen` and `rejected` or both in `response`, of which `chosen` and `rejected` take one.
    All but text are rendered with a chat template."""
    chat_template: str | None = None
    """The chat template, as text or as the path of a .jinja file; None takes that of the model's tokenizer."""
    loss_on: Literal["answer", "all"] = "answer"
    """Of a conversation, the losses run over the assistant's answers alone, or over all tokens."""
    subjects: tuple[str, ...] = ()
    """Take only the rows whose field `subject` is one of these; empty takes all."""
    join_words: int | None = None
    """Rows of format text are joined, with a blank line between them, and cut into pieces of this number of words, as
    MUSE does with tokens; None leaves rows as they are."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subjects", tuple(self.subjects))
        if self.format == "text" and self.chat_template is not None:
            raise InputError(
                f"{self.path}: chat_template is for conversations; set `format` to messages, prompt_completion or "
                "question_answer, or remove it"
            )
        if self.format != "text" and self.column != "text":
            raise InputError(
                f"{self.path}: column is for format text; {self.format} has field {' and '.join(FIELDS[self.format])}: "
                "remove it, and rename the fields if need be"
            )
        if self.is_local() and (self.name, self.split) != (None, "train"):
            raise InputError(
                f"{self.path}: name and split are those of a hub dataset, got {self.name} and {self.split}; remove "
                "them, and give the path of the file with those rows"
            )
        if self.join_words is not None and (self.format != "text" or self.join_words < 1):
            raise InputError(
                f"{self.path}: join_words must be at least 1 and is for format text, got {self.join_words} with format "
                f"{self.format}"
            )
        if self.max_length < 1 or self.min_length < 0:
            raise InputError(
                f"{self.path}: max_length must be at least 1 and min_length at least 0, got "
                f"{self.max_length} and {self.min_length}"
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
        template = self.chat_template
        named = template and (Path(template).name if template.endswith(".jinja") else template)
        return str(replace(self, path=Path(self.path).name if self.is_local() else self.path, chat_template=named))


class HubError(InputError):
    """A hub dataset cannot be loaded."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: this hub dataset cannot be loaded ({reason}); if it is gated, ask for access at "
            f"https://huggingface.co/datasets/{path} and log in with `hf auth login`; or give a local file "
            f"({', '.join(LOCAL_SUFFIXES)})"
        )


def check_hub_name(path: str, suffixes: Sequence[str]) -> None:
    """A path is the name of a hub dataset or a folder of data, of which the hub would not be asked in vain.

    Args:
        path: without any of the suffixes.
        suffixes: of local files.

    Raises:
        InputError: it is that of a file of another kind, or of a folder that is not one of data.
    """
    elsewhere = path.startswith(("/", ".", "~")) or glob.has_magic(path)
    if Path(path).is_file() or (elsewhere and not Path(path).is_dir()):
        found = "a local file of a kind" if Path(path).is_file() else "the name of a hub dataset, or of files"
        raise InputError(f"{path}: is not {found} that can be read here; give one that ends in {', '.join(suffixes)}")
    if Path(path).is_dir():
        _check_folder(path)


def _check_folder(path: str) -> None:
    """Checks that a folder is one that `load_dataset` reads, and reads whole.

    Raises:
        InputError: it was written by save_to_disk, has no files that can be read, or some that would be left out.
    """
    if (Path(path) / "dataset_dict.json").is_file() or (Path(path) / "state.json").is_file():
        raise InputError(
            f"{path}: this folder was written by save_to_disk, whose layout load_dataset does not read; write it with "
            "Dataset.to_parquet, and give that .parquet file"
        )
    try:
        of_splits = load_dataset_builder(path).config.data_files or {}
    except (OSError, ValueError, DatasetsError) as error:
        raise _unreadable_folder(path, error) from error
    read = {Path(file).resolve() for files in of_splits.values() for file in files}
    found = {
        file.resolve() for suffix in _READ_IN_FOLDERS for file in Path(path).rglob(f"*{suffix}") if _seen(path, file)
    }
    if (left := sorted(found - read)) and not any(Path(path).glob("README*")):  # which may say what belongs to it
        raise InputError(
            f"{path}: {left[0].name} in this folder would not be read: only files of one ending are, "
            f"and where one is named after a split, such as train, only such; "
            f"move it away, or give a pattern such as {path}/*.jsonl"
        )


def _seen(path: str, file: Path) -> bool:
    """Whether `load_dataset` looks at a file of a folder: neither it nor a folder on the way is hidden."""
    return not any(part.startswith((".", "__")) for part in file.relative_to(path).parts)


def _unreadable_folder(path: str, error: Exception) -> InputError:
    return InputError(
        f"{path}: this folder cannot be read as a dataset ({_reason(error)}); give the path of a file "
        f"({', '.join(LOCAL_SUFFIXES)}), or a pattern such as {path}/*.parquet"
    )


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_source(source: TextSource) -> int | None:
    """A source can be read: every row of local files of up to 32 MiB, else as the first that is long enough shows.

    Of the hub nothing is loaded.

    Args:
        source: of a stream.

    Returns:
        How many rows are long enough; None where it is not known.

    Raises:
        InputError: the source is not there, or holds no such row; a local file's error names the line.
    """
    if not source.is_local():
        check_hub_name(source.path, LOCAL_SUFFIXES)
        return None
    every = source.format != "text" or source.join_words is not None
    rows = (row for row in _rows(source) if every or _is_long(row["text"], source.min_length))
    if next(rows, None) is None:
        raise InputError(_too_short(source))
    if sum(Path(path).stat().st_size for path in _paths(source.path)) > _READ_WHOLE:
        return None
    count = 1 + sum(1 for _ in rows)
    return None if source.join_words is not None else count


def first_conversation(source: TextSource) -> Any:
    """The messages of the first row of local files.

    Args:
        source: of conversations.

    Raises:
        InputError: it cannot be read; the error names the line.
    """
    return next(_rows(source))["messages"]


def first_texts(source: TextSource, count: int) -> list[str]:
    """The first texts of local files that are long enough; conversations as plain text.

    Args:
        source: of local files.
        count: at most.

    Raises:
        InputError: a row before them cannot be read; the error names the line.
    """
    shortest = source.min_length if source.format == "text" else 0
    long_enough = (row["text"] for row in _rows(source) if _is_long(row["text"], shortest))
    return list(itertools.islice(long_enough, count))


def _rows(source: TextSource) -> Iterator[dict[str, Any]]:
    return _records(tuple(_paths(source.path)), source.column, None, source.format, source.subjects)


def load_texts(source: TextSource) -> Dataset:
    """The rows of a source that are long enough: a dataset with one column, `text`; conversations as plain text.

    Raises:
        InputError: the source is not there, not readable or empty; a local file's error names the line.
    """
    if source.format != "text":
        return load_conversations(source).select_columns(["text"])
    texts = _from_files(source) if source.is_local() else _from_hub(source)
    if source.join_words is not None:
        texts = texts.map(
            _joined,
            input_columns=["text"],
            batched=True,
            batch_size=None,
            fn_kwargs={"words": source.join_words, "path": source.path},
        )
    texts = texts.filter(
        _long_enough,
        with_indices=True,
        input_columns=["text"],
        batched=True,
        fn_kwargs={"path": source.path, "min_length": source.min_length},
    )
    if len(texts) == 0:
        raise InputError(_too_short(source))
    return texts


def load_conversations(source: TextSource) -> Dataset:
    """The rows of a source of another format than text: columns `messages` and, as plain text, `text`.

    Raises:
        InputError: the source is not there, not readable or empty; a local file's error names the line.
    """
    rows = _from_files(source) if source.is_local() else _from_hub(source)
    if len(rows) == 0:
        raise InputError(f"{source.path}: no rows; check the source")
    return rows


def _from_files(source: TextSource) -> Dataset:
    paths = _paths(source.path)
    # Size and time are part of the cache's key: a changed file is read again.
    stamps = tuple((path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths)
    try:
        dataset = Dataset.from_generator(
            _records,
            features=Features({"text": Value("string")}) if source.format == "text" else _CONVERSATIONS,
            gen_kwargs={
                "paths": tuple(paths),
                "column": source.column,
                "stamps": stamps,
                "kind": source.format,
                "subjects": source.subjects,
            },
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


def _records(
    paths: Sequence[str], column: str, stamps: Any, kind: Format, subjects: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    del stamps
    if kind == "text" and not subjects:
        rows: Iterator[dict[str, Any]] = ({"text": text} for text in read_files(paths, column))
    else:
        found = ((place, record) for path in paths for place, record in _conversations(path))
        about = ((place, record) for place, record in found if is_about(record, subjects, place))
        rows = (
            {"text": text_of(record, column, place)} if kind == "text" else _row(record, kind, place)
            for place, record in about
        )
    first = next(rows, None)
    if first is None:
        of = f" about {', '.join(subjects)}" if subjects else ""
        raise InputError(f"{', '.join(paths)}: no rows{of}; check the source")
    yield from itertools.chain([first], rows)


def _conversations(path: str) -> Iterator[tuple[str, Any]]:
    if kind(path) == "txt":
        raise InputError(f"{path}: a text file has no fields; set `format: text`, or give .jsonl, .json or .parquet")
    return read_records(path)


def _row(record: Any, kind: Format, place: str) -> dict[str, Any]:
    messages = conversation(record, kind, place)
    return {"text": plain(messages), "messages": messages}


def _from_hub(source: TextSource) -> Dataset:
    check_hub_name(source.path, LOCAL_SUFFIXES)
    check_dataset_reachable(source.path)
    try:
        dataset = load_dataset(source.path, source.name, split=source.split)
    except (OSError, ValueError, DatasetsError) as error:
        if Path(source.path).is_dir():
            raise _unreadable_folder(source.path, error) from error
        raise HubError(source.path, _reason(error)) from error
    if source.subjects:
        dataset = _about(dataset, source)
    if source.format != "text":
        return _conversations_of(dataset, source)
    columns = [name for name, feature in dataset.features.items() if feature in _TEXT_TYPES]
    if source.column not in columns:
        other = suggested(dataset.features)
        raise InputError(
            f"{source.path}: no column {source.column!r} of text; set `column` to the one with the text "
            f"({', '.join(columns) or 'it has none'})" + (f", or `format` of the source to {other}" if other else "")
        )
    texts = dataset.select_columns([source.column])
    return cast(Dataset, texts if source.column == "text" else texts.rename_column(source.column, "text"))


def _about(dataset: Dataset, source: TextSource) -> Dataset:
    """The rows about the source's subjects."""
    found = dataset.filter(
        lambda record, index: is_about(record, source.subjects, f"{source.path}, row {index + 1}"), with_indices=True
    )
    if len(found) == 0:
        raise InputError(f"{source.path}: no rows about {', '.join(source.subjects)}; check the source")
    return found


def _conversations_of(dataset: Dataset, source: TextSource) -> Dataset:
    """The conversations of a hub dataset."""
    return cast(
        Dataset,
        dataset.map(
            lambda record, index: _row(record, source.format, f"{source.path}, row {index + 1}"),
            with_indices=True,
            remove_columns=dataset.column_names,
            features=_CONVERSATIONS,
        ),
    )


def _joined(texts: Sequence[str | None], *, words: int, path: str) -> dict[str, list[str]]:
    """All rows as one text, in pieces of a number of words."""
    if None in texts:
        raise InputError(f"{path}, row {[*texts].index(None) + 1}: no text; give a local file without such rows")
    found = _WORD.findall("\n\n".join(map(str, texts)))
    return {"text": ["".join(found[start : start + words]).strip() for start in range(0, len(found), words)]}


def _long_enough(texts: Sequence[str | None], indices: Sequence[int], *, path: str, min_length: int) -> list[bool]:
    for index, text in zip(indices, texts, strict=True):
        if text is None:
            raise InputError(f"{path}, row {index + 1}: no text; give a local file without such rows")
    return [text is not None and _is_long(text, min_length) for text in texts]


def _is_long(text: str, min_length: int) -> bool:
    return len(text) > min_length and not text.isspace()


def _too_short(source: TextSource) -> str:
    return f"{source.path}: no row has more than {source.min_length} characters; check the source, or lower min_length"
