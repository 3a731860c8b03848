"""Corpora that cannot be read, or have nothing to read; and some that look odd and are as good as others."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lit_unlearn import TextSource
from lit_unlearn.data.text import load_texts
from tests.bad_input.refusing import Config, Refused, write
from tests.fast import some

LINE = json.dumps({"text": "the of and in is a with was near under"}) + "\n"
ZIPPED = gzip.compress(20 * LINE.encode(), mtime=0)
UTF8 = "not UTF-8 text or not whole"
BAD: dict[str, tuple[str, bytes | str, tuple[str, ...]]] = {
    "empty": ("a.jsonl", "", ("no rows", "check the source")),
    "only whitespace": ("a.jsonl", "  \n\n \t \n", ("no rows", "check the source")),
    "only whitespace, as text": ("a.txt", "  \n\n \t \n", ("no row has more than 0 characters", "check the source")),
    "only short rows": ("b.txt", "the\nof\n", ("no row has more than 50 characters", "lower min_length")),
    "truncated gzip": ("a.jsonl.gz", ZIPPED[:-20], (UTF8, "ended before", "write the file again")),
    "gzip of a few bytes": ("a.jsonl.gz", ZIPPED[:30], (UTF8, "write the file again")),
    "gzip with a wrong sum": ("a.jsonl.gz", ZIPPED[:-8] + bytes(8), (UTF8, "CRC check failed", "write the file again")),
    "gzip with holes": ("a.txt.gz", ZIPPED[:12] + b"\xff" * 20 + ZIPPED[32:], (UTF8, "write the file again")),
    "not gzip": ("a.jsonl.gz", "hello", (UTF8, "Not a gzipped file", "write the file again")),
    "empty gzip": ("a.jsonl.gz", gzip.compress(b"", mtime=0), ("no rows", "check the source")),
    "Latin-1": ("a.jsonl", LINE.encode() + '{"text": "café"}'.encode("latin-1"), (UTF8, "0xe9", "as UTF-8")),
    "UTF-16": ("a.txt", LINE.encode("utf-16"), (UTF8, "0xff", "as UTF-8")),
    "malformed line": ("a.jsonl", f'{LINE}{LINE}{{"text": \n{LINE}', ("a.jsonl, line 3: not JSON", "fix or remove")),
    "missing field": ("a.jsonl", LINE + '{"txt": "a"}\n', ("a.jsonl, line 2: no text", "(fields txt)", "set `column`")),
    "null": ("a.jsonl", LINE + '{"text": null}\n', ("a.jsonl, line 2: no text", "holds null", "remove the row")),
    "null row": ("a.jsonl", LINE + "null\n", ("a.jsonl, line 2: null instead of a record", "remove it")),
    "pretty-printed": ("a.jsonl", "[\n" + LINE + "]", ("a.jsonl, line 1: the JSON value does not end", "in .json")),
    "array in one line": ("a.jsonl", f"[{LINE.strip()}]", ("a.jsonl, line 1: a list", "a name that ends in .json")),
    "number": ("a.jsonl", LINE + '{"text": 3}\n', ("a.jsonl, line 2: no text", "which holds 3")),
    "list": ("a.jsonl", LINE + '["a"]\n', ("a.jsonl, line 2: a list", "the text in field 'text'")),
    "bare text": ("a.jsonl", LINE + '"a"\n', ("a.jsonl, line 2: a str", "the text in field 'text'")),
    "deep": ("a.jsonl", "[" * 100_000, ("a.jsonl, line 1: not JSON", "fix or remove")),
    "long number": ("a.jsonl", '{"text": ' + "9" * 5000 + "}", ("a.jsonl, line 1: not JSON", "fix or remove")),
    "half a surrogate pair": (
        "a.jsonl",
        LINE + '{"text": "\\ud800"}',
        ("line 2: half of a surrogate", "fix or remove"),
    ),
    "number among records": ("a.json", f"[{LINE}, 3]", ("a.json, record 2: a int", "the text in field 'text'")),
    "malformed array": ("a.json", f"[{LINE},\n\n3 4]", ("a.json, line 4: not JSON", "fix or remove")),
    "empty array": ("a.json", "[]", ("no rows", "check the source")),
    "no parquet": ("a.parquet", "PAR1xxxx", ("not a parquet file, or not whole", "write it again")),
    "empty parquet": ("a.parquet", "", ("not a parquet file, or not whole", "0 bytes", "write it again")),
    "another kind": ("a.csv", "text\nthe\n", ("not a local file of a kind that can be read", "ends in .jsonl")),
    "no ending": ("corpus", "the", ("not a local file of a kind that can be read", ".parquet")),
}
TABLES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no such column": ({"x": ["a"]}, ("a.parquet, row 1: no text", "(fields x)", "set `column`")),
    "null": ({"text": ["a", None]}, ("a.parquet, row 2: no text", "holds null", "remove the row")),
    "numbers": ({"text": [1, 2]}, ("a.parquet, row 1: no text", "which holds 1")),
    "no rows": ({"text": pyarrow.array([], pyarrow.string())}, ("no rows", "check the source")),
}
PATHS = {
    "nowhere.jsonl": ("nowhere.jsonl: no such file", "relative to the working directory"),
    "*.jsonl": ("*.jsonl: no such file", "relative to the working directory"),
    "../../etc/passwd": ("not the name of a hub dataset, or of files", "ends in .jsonl"),
    "/no/such/folder": ("not the name of a hub dataset, or of files", "ends in .jsonl"),
    "texts/*.md": ("not the name of a hub dataset, or of files", "ends in .jsonl"),
    f"{'a' * 300}.jsonl": ("aaa.jsonl: File name too long", "check the path, its permissions and its disk"),
    "no/such-data": ("no/such-data: this hub dataset cannot be loaded", "or give a local file"),
}


def of(config: Config, path: Path | str, **options: Any) -> Config:
    """The config with one corpus to forget."""
    config["data"]["init_args"]["forget"] = {"a": {"path": str(path), "min_length": 0, **options}}
    return config


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, **options: Any) -> list[str]:
    return list(load_texts(TextSource(str(path), min_length=0, **options))["text"])


@pytest.mark.parametrize("case", some(BAD))
def test_a_corpus_that_cannot_be_read_is_refused(case: str, config: Config, inputs: Path, refused: Refused) -> None:
    name, content, said = BAD[case]
    path = written(inputs / name, content)
    changed = of(config, path, min_length=50) if name == "b.txt" else of(config, path)
    refused(["fit", "-c", write(inputs / "base.yaml", changed)], str(path), *said)


@pytest.mark.parametrize("case", some(TABLES))
def test_a_table_without_text_is_refused(case: str, config: Config, inputs: Path, refused: Refused) -> None:
    columns, said = TABLES[case]
    pyarrow.parquet.write_table(pyarrow.table(columns), inputs / "a.parquet")
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, inputs / "a.parquet"))], *said)


CHAT = {"messages": [{"role": "user", "content": "the of"}, {"role": "assistant", "content": "and in"}]}
TEMPLATE = "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"
CONVERSATIONS: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "no template": (CHAT, {"format": "messages"}, ("has no chat template", "set `chat_template` of the source")),
    "no format": (CHAT, {}, ("a.jsonl, line 1: no text", "`format` of the source to messages")),
    "another format": (CHAT, {"format": "question_answer"}, ("line 1: no field 'question'", "to messages")),
    "unknown format": (CHAT, {"format": "chat"}, ("format: 'chat'", "'messages'")),
    "null": ({"messages": None}, {"format": "messages"}, ("line 1: every field is null", "remove the row")),
    "list": ([CHAT], {"format": "messages"}, ("line 1: a list", "a name that ends in .json")),
    "cut": (
        CHAT,
        {"format": "messages", "chat_template": TEMPLATE, "max_length": 2},
        ("row 1: no token of the answer is among the 2", "raise `max_length`"),
    ),
    "template": (
        CHAT,
        {"format": "messages", "chat_template": "{{ messages | length }}"},
        ("row 1: rendered without its answer", "or set `loss_on: all`"),
    ),
    "template that is none": (
        CHAT,
        {"format": "messages", "chat_template": "{% if"},
        ("row 1: the chat template", "set `chat_template` of the source to another"),
    ),
}


@pytest.mark.parametrize("case", some(CONVERSATIONS))
def test_conversations_that_cannot_be_read_are_refused(
    case: str, config: Config, inputs: Path, refused: Refused
) -> None:
    record, options, said = CONVERSATIONS[case]
    path = written(inputs / "a.jsonl", json.dumps(record))
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, path, **options))], *said)


@pytest.mark.parametrize("cut", some([slice(-30), slice(30, None)]))
def test_a_table_that_is_not_whole_is_refused(cut: slice, config: Config, inputs: Path, refused: Refused) -> None:
    path = inputs / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [f"the of {row}" for row in range(1000)]}), path)
    path.write_bytes(path.read_bytes()[cut])
    said = ("a.parquet: not a parquet file, or not whole", "write it again")
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, path))], *said)


@pytest.mark.parametrize("path", some(PATHS))
def test_a_corpus_that_is_not_there_is_refused(path: str, config: Config, inputs: Path, refused: Refused) -> None:
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, path))], *PATHS[path])


def test_a_folder_that_is_named_like_a_file_is_refused(config: Config, inputs: Path, refused: Refused) -> None:
    (inputs / "a.jsonl").mkdir()
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, inputs / "a.jsonl"))], "a.jsonl: no such file")


def test_of_several_files_the_bad_one_is_named(config: Config, inputs: Path, refused: Refused) -> None:
    written(inputs / "a.jsonl", LINE)
    written(inputs / "b.jsonl", LINE + "{\n")
    refused(["fit", "-c", write(inputs / "base.yaml", of(config, inputs / "*.jsonl"))], "b.jsonl, line 2: not JSON")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_preferred_answers_of_nothing_are_refused(content: str, config: Config, inputs: Path, refused: Refused) -> None:
    config["model"]["forget"] = "DPO"
    config["data"]["init_args"]["preferred"] = str(written(inputs / "answers.txt", content))
    refused(["fit", "-c", write(inputs / "base.yaml", config)], "answers.txt: no row", "check the source")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.jsonl", b"\xef\xbb\xbf" + 3 * LINE.encode()),
        ("crlf.jsonl", 3 * LINE.encode().replace(b"\n", b"\r\n")),
        ("blank.jsonl", 3 * (LINE + "\n \n").encode()),
        ("whole.jsonl.gz", gzip.compress(3 * LINE.encode(), mtime=0)),
        ("bom.json", b"\xef\xbb\xbf[" + b",".join([LINE.encode()] * 3) + b"]"),
        ("bom.txt", b"\xef\xbb\xbf" + 3 * b"the of and in is a with was near under\n"),
        ("crlf.txt", 3 * b"the of and in is a with was near under\r\n"),
        ("spaces.txt", 3 * b"the of and in is a with was near under\n   \n\n"),
    ],
)
def test_marks_line_ends_and_blank_lines_change_nothing(name: str, content: bytes, tmp_path: Path) -> None:
    assert rows(written(tmp_path / name, content)) == 3 * ["the of and in is a with was near under"]


def test_a_line_of_ten_megabytes_is_one_row(tmp_path: Path) -> None:
    text = "the of and " * 900_000
    assert rows(written(tmp_path / "a.jsonl", json.dumps({"text": text}))) == [text]
