"""Sources become texts: local files through a cache that is never stale, hub datasets; errors reach the user."""

import json
import os
import re
from pathlib import Path
from typing import Any

import datasets
import pytest

from lit_unlearn import InputError, TextSource, UnlearnDataModule
from lit_unlearn.data import text as text_module
from lit_unlearn.data.text import first_texts, load_texts

LONG = "a text of more than fifty characters, so that it is a row: "


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def load(path: Path | str, **options: Any) -> list[str]:
    return list(load_texts(TextSource(str(path), **options))["text"])


def serve(monkeypatch: pytest.MonkeyPatch, columns: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    """Takes the hub's place; returns what was asked of it."""
    asked: list[tuple[Any, ...]] = []

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        asked.append((path, name, split))
        return datasets.Dataset.from_dict(columns)

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)
    return asked


def test_json_lines_are_parsed_not_taken_raw(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.jsonl", [LONG + "ä"])) == [LONG + "ä"]


def test_rows_that_are_too_short_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [" = Heading = ", "", "x" * 50, "x" * 51])
    assert load(path) == ["x" * 51]
    assert load(path, min_length=0) == [" = Heading = ", "x" * 50, "x" * 51]


def test_the_first_texts_are_those_that_are_long_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["x" * 60, "short", "y" * 60, "z" * 60])
    assert first_texts(TextSource(str(path)), 2) == ["x" * 60, "y" * 60]
    assert first_texts(TextSource(str(path)), 9) == load(path)


def test_a_glob_reads_its_files_in_order_of_their_names(tmp_path: Path) -> None:
    for name in "cab":
        write(tmp_path / f"{name}.jsonl", [LONG + name])
    assert load(tmp_path / "*.jsonl") == [LONG + name for name in "abc"]


def test_a_name_with_brackets_is_a_file_too(tmp_path: Path) -> None:
    assert load(write(tmp_path / "part[1].jsonl", [LONG])) == [LONG]


@pytest.mark.parametrize("name", ["missing.jsonl", "*.parquet", "missing.txt.gz", "."])
def test_a_path_without_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    path = tmp_path / ("folder.jsonl" if name == "." else name)
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: no such file; local paths are relative to"):
        load(path)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_source_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.jsonl: no rows"):
        load(tmp_path / "a.jsonl")


def test_one_empty_file_of_several_is_none(tmp_path: Path) -> None:
    for name, texts in {"a": [], "b": [LONG], "c": []}.items():
        write(tmp_path / f"{name}.jsonl", texts)
    assert load(tmp_path / "*.jsonl") == [LONG]


@pytest.mark.parametrize("texts", [[""], [" = Heading = "] * 3])
def test_a_source_without_long_enough_rows_is_an_error(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl: no row has more than 50 characters; .*lower min_length"):
        load(write(tmp_path / "a.jsonl", texts))


@pytest.mark.parametrize("options", [{"max_length": 0}, {"min_length": -1}])
def test_impossible_lengths_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(
        InputError, match=r"a\.jsonl: max_length must be at least 1 and min_length at least 0, got -?\d+ and -?\d+"
    ):
        TextSource("a.jsonl", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"split": "test"}, {"name": "wikitext-2-raw-v1"}])
def test_a_file_has_no_splits_or_configurations(options: dict[str, Any]) -> None:
    TextSource("owner/name", **options)
    with pytest.raises(
        InputError, match=r"^rows\.jsonl: name and split are those of a hub dataset, got .*; remove them"
    ):
        TextSource("rows.jsonl", **options)


@pytest.mark.parametrize("before", [0, 3, 2000])
def test_a_reader_error_passes_through_datasets(tmp_path: Path, before: int) -> None:
    path = write(tmp_path / "a.jsonl", [LONG] * before)
    with path.open("a", encoding="utf-8") as file:
        file.write("oops\n")
    with pytest.raises(InputError, match=rf"a\.jsonl, line {before + 1}: not JSON"):
        load(path)


def test_a_reader_error_passes_through_the_data_module(tmp_path: Path, world: Path) -> None:
    (tmp_path / "a.jsonl").write_text("oops\n", encoding="utf-8")
    bad, good = TextSource(str(tmp_path / "a.jsonl")), TextSource(str(world / "gardening.jsonl"))
    data = UnlearnDataModule({"a": bad}, {"b": good}, tokenizer=str(world / "model"))
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: not JSON"):
        data.prepare_data()


def cached(path: str) -> set[Path]:
    return {file for file in Path(path).rglob("*") if file.is_file() and file.suffix != ".lock"}


def test_a_failed_read_leaves_nothing_that_a_good_one_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": LONG}) + "\nspoilt.\n", encoding="utf-8")
    stat = path.stat()
    with pytest.raises(InputError, match="line 2"):
        load(path)
    assert not cached(str(tmp_path / "cache"))
    path.write_text(json.dumps({"text": LONG}) + "\n       \n", encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the same size and time: the same key in the cache
    assert load(path) == [LONG]
    assert cached(str(tmp_path / "cache"))


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl", [LONG])
    first = load_texts(TextSource(str(path)))
    monkeypatch.setattr(text_module, "read_files", None)
    second = load_texts(TextSource(str(path)))
    assert second._fingerprint == first._fingerprint
    assert second["text"][:] == [LONG]


def test_a_file_of_another_size_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [LONG])
    stat = path.stat()
    load(path)
    write(path, [LONG, LONG + "new"])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load(path) == [LONG, LONG + "new"]


def test_a_file_of_another_time_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [LONG + "1"])
    stat = path.stat()
    load(path)
    write(path, [LONG + "2"])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert load(path) == [LONG + "2"]


def test_another_column_is_not_served_from_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": LONG + "1", "body": LONG + "2"}), encoding="utf-8")
    assert load(path) == [LONG + "1"]
    assert load(path, column="body") == [LONG + "2"]


@pytest.mark.parametrize("path", ["owner/name", "wikitext", "corpus.parquet.gz"])
def test_what_is_no_local_file_is_of_the_hub(path: str) -> None:
    assert not TextSource(path).is_local()


def test_a_hub_dataset_is_asked_for_by_name_configuration_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, {"body": [LONG, "short"], "id": [1, 2]})
    assert load("owner/name", name="some", split="test", column="body") == [LONG]
    assert asked == [("owner/name", "some", "test")]


@pytest.mark.parametrize("column", ["nothing", "id"])
def test_a_hub_dataset_without_the_column_names_those_with_text(monkeypatch: pytest.MonkeyPatch, column: str) -> None:
    serve(monkeypatch, {"body": [LONG], "title": [LONG], "id": [1]})
    with pytest.raises(InputError, match=rf"owner/name: no column '{column}' of text; .* \(body, title\)"):
        load("owner/name", column=column)


def test_a_hub_row_without_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"text": [LONG, None]})
    with pytest.raises(InputError, match="owner/name, row 2: no text"):
        load("owner/name")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Couldn't reach it"),
        datasets.exceptions.DatasetNotFoundError("Couldn't reach it: it is gated"),
        ValueError("Couldn't reach it: unknown split"),
        datasets.exceptions.DatasetGenerationError("Couldn't reach it: broken"),
        PermissionError("Couldn't reach it: 403"),
    ],
)
def test_a_hub_dataset_that_cannot_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load_dataset(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)
    with pytest.raises(
        InputError, match=r"Couldn't reach it.*huggingface\.co/datasets/owner/name.*hf auth login.*local"
    ):
        load("owner/name")


def test_an_error_without_a_message_is_named_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)
    with pytest.raises(InputError, match="ConnectionError"):
        load("owner/name")


def test_the_real_hub_out_of_reach_is_an_input_error() -> None:
    with pytest.raises(InputError, match="owner/name: this hub dataset cannot be loaded"):
        load("owner/name")


def test_rows_are_joined_and_cut_into_pieces_of_words(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text(json.dumps(["one two  three\nfour", "five six", "seven"]))  # texts without fields, as MUSE writes
    pieces = load_texts(TextSource(str(path), min_length=0, join_words=3))["text"]
    assert pieces == ["one two  three", "four\n\nfive six", "seven"]


def test_a_subjects_rows_are_taken_alone(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    found = [{"text": f"about {name}", "subject": name} for name in ("Ada", "Bo", "Ada", "Cy")]
    path.write_text("\n".join(map(json.dumps, found)))
    assert load_texts(TextSource(str(path), min_length=0, subjects=("Ada", "Cy")))["text"] == [
        "about Ada",
        "about Ada",
        "about Cy",
    ]
    with pytest.raises(InputError, match="no rows about Dan"):
        load_texts(TextSource(str(path), subjects=("Dan",)))
    path.write_text('{"text": "a"}')
    with pytest.raises(InputError, match=r"line 1: no field 'subject' \(fields text\)"):
        load_texts(TextSource(str(path), subjects=("Ada",)))


def test_pieces_are_of_texts_alone() -> None:
    with pytest.raises(InputError, match="join_words must be at least 1 and is for format text, got 0"):
        TextSource("a.txt", join_words=0)
    with pytest.raises(InputError, match="got 9 with format messages"):
        TextSource("a.jsonl", join_words=9, format="messages")
