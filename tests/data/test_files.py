"""Every kind of local file is read as written, and a fault in one is named with its place."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lit_unlearn import InputError
from lit_unlearn.data.files import read_files

TEXTS = ["one", "zwei äöü", "three\nlines\nin one"]


def read(path: Path, column: str = "text") -> list[str]:
    return list(read_files([str(path)], column))


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def lines(texts: list[str]) -> str:
    return "".join(json.dumps({"id": 3, "text": text}, ensure_ascii=False) + "\n" for text in texts)


def array(texts: list[str]) -> str:
    return json.dumps([{"text": text} for text in texts], indent=1)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", lines(TEXTS)), ("a.json", lines(TEXTS)), ("a.json", array(TEXTS))]
)
def test_json_texts_are_read_as_written(tmp_path: Path, name: str, suffix: str, content: str) -> None:
    assert read(write(tmp_path / (name + suffix), content)) == TEXTS


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_each_line_of_a_text_file_is_a_row(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "first \n\nthird\u2028still third\nno newline at the end")
    assert read(path) == ["first ", "", "third\u2028still third", "no newline at the end"]


def test_parquet_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "id": [1, 2, 3]}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == TEXTS


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    first, second = write(tmp_path / "b.txt", "b1\nb2\n"), write(tmp_path / "a.jsonl", lines(["a1"]))
    assert list(read_files([str(first), str(second)], "text")) == ["b1", "b2", "a1"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz"])
@pytest.mark.parametrize(
    "change",
    [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda text: "\n \n" + text + "\n"],
)
def test_byte_order_mark_windows_newlines_and_blank_lines_change_nothing(
    tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    assert read(write(tmp_path / name, change(lines(TEXTS)))) == TEXTS


def test_windows_newlines_of_a_text_file_are_no_part_of_its_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.txt", "\ufefffirst\r\nsecond\r\n")) == ["first", "second"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_unicode_line_separator_does_not_end_a_json_line(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / name, lines(["a\u2028b\x85c"]))) == ["a\u2028b\x85c"]


def test_a_huge_line_is_one_row(tmp_path: Path) -> None:
    assert [len(text) for text in read(write(tmp_path / "a.jsonl", lines(["x" * 20_000_000])))] == [20_000_000]


def test_another_column_is_read(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", '{"text": "no", "body": "yes"}'), "body") == ["yes"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.json.gz"])
@pytest.mark.parametrize(
    "bad",
    [
        '{"text": "cut off',
        '{"text": "no end",',
        "plain words",
        "{'text': 'single quotes'}",
        '{"text": "a"} {"text": "b"}',
        '{"text": "a", "number": ' + "9" * 5000 + "}",
        "[" * 100_000,
    ],
)
def test_a_malformed_json_line_is_named(tmp_path: Path, name: str, bad: str) -> None:
    path = write(tmp_path / name, '{"text": "good"}\n\n' + bad + "\n" + '{"text": "good"}\n')
    with pytest.raises(InputError, match=rf"{name}, line 3: not JSON \(.+\); fix"):
        read(path)


def test_a_malformed_json_array_is_named_with_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '[\n{"text": "good"},\n{"text": bad}\n]')
    with pytest.raises(InputError, match=r"a\.json, line 3: not JSON"):
        read(path)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"body": "x"}', r"no text in field 'text' \(fields body\); set `column`"),
        ('{"text": 3}', r"no text in field 'text' .*which holds 3; set `column`"),
        ('{"text": ["x"]}', r"no text in field 'text' .*set `column`"),
        ('{"text": null}', r"no text in field 'text', which holds null; remove the row"),
        ("null", r"null instead of a record; remove it"),
        ('"a string"', r"a str; write an object with the text in field 'text'$"),
        ("17", r"a int; write an object"),
        ('["x"]', r"a list; write an object .*; if the file is one JSON array, give it a name that ends in \.json"),
    ],
)
def test_a_json_line_without_text_is_named(tmp_path: Path, bad: str, said: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "good"}\n' + bad + "\n")
    with pytest.raises(InputError, match=rf"a\.jsonl, line 2: {said}"):
        read(path)


@pytest.mark.parametrize("indent", [1, None])
def test_values_of_a_json_file_may_span_lines(tmp_path: Path, indent: int | None) -> None:
    values = [json.dumps({"text": text}, indent=indent) for text in TEXTS]
    assert read(write(tmp_path / "a.json", "\n" + "\n\n".join(values) + "\n")) == TEXTS
    bad = write(tmp_path / "b.json", '{\n"text": "a"\n}\n\n{\n"text": b\n}')
    with pytest.raises(InputError, match=r"b\.json, line 6: not JSON"):
        read(bad)
    null = write(tmp_path / "c.json", '{\n"text": "a"\n}\n\n{\n"text": null\n}')
    with pytest.raises(InputError, match=r"c\.json, line 5: no text"):
        read(null)


@pytest.mark.parametrize("content", [array(TEXTS), '{\n"text": "a"\n}', '{"text": "a",\n"b": 1}'])
def test_json_lines_that_span_lines_are_refused_with_the_remedy(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.jsonl", content)
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: the JSON value does not end .*ends in \.json"):
        read(path)


def test_a_json_record_without_text_shows_the_fields_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json, record 2: .*\(fields title, body\)"):
        read(write(tmp_path / "a.json", '[{"text": "x"}, {"title": "t", "body": "b"}]'))


def test_half_of_a_surrogate_pair_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jsonl, line 1: half of a surrogate pair"):
        read(write(tmp_path / "a.jsonl", '{"text": "x\\ud800y"}'))


def test_a_surrogate_pair_is_one_letter(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude00"}')) == ["\U0001f600"]


@pytest.mark.parametrize("column", ["body", "id"])
def test_a_parquet_column_that_holds_no_text_is_named(tmp_path: Path, column: str) -> None:
    pq.write_table(pa.table({"text": TEXTS, "id": [1, 2, 3]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=rf"a\.parquet, row 1: no text in field '{column}' \(fields .*id\)"):
        read(tmp_path / "a.parquet", column)


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.parquet: not a parquet file"):
        read(write(tmp_path / "a.parquet", lines(TEXTS)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.txt.gz"])
def test_text_that_is_not_utf8_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: not UTF-8 text .*write the file again as UTF-8"):
        read(write(tmp_path / name, '{"text": "äöü"}\n'.encode("latin-1")))


def spoilt(data: bytes) -> bytes:
    return data[:20] + bytes(255 - byte for byte in data[20:40]) + data[40:]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.txt.gz"])
@pytest.mark.parametrize("spoil", [lambda data: data[:-12], spoilt, lambda data: b"plain text, not gzip"])
def test_a_gzip_that_is_not_whole_is_named(tmp_path: Path, name: str, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(spoil(gzip.compress(lines([f"{number}" for number in range(500)]).encode())))
    with pytest.raises(InputError, match=rf"{name}: .*not whole"):
        read(path)
