import json
from pathlib import Path

import pytest

from lit_unlearn.commands.analysis.strays.trusted import TrustedRow, read_trusted
from lit_unlearn.errors import InputError

CLASSES = ("forget/alchemy", "retain")


def written(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_rows_have_the_classes_that_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", {"class": "retain", "text": "b"}, {"class": "forget/alchemy", "text": "a"})
    assert read_trusted(path, CLASSES) == [TrustedRow("b", 1), TrustedRow("a", 0)]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"class": "keep", "text": "a"}], "line 1: class 'keep' is none of these rows'; write one of forget/alchemy"),
        ([{"text": "a"}], "line 1: class None is none of"),
        ([{"class": "retain"}], "line 1: no text in field 'text'"),
        ([{"class": "retain", "text": "a"}], "has no row of forget/alchemy; give some of each of"),
        (["retain"], "line 1: a str; write an object such as"),
    ],
)
def test_what_it_refuses(records: list[object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_trusted(written(tmp_path / "t.jsonl", *records), CLASSES)


@pytest.mark.parametrize("name", ["missing.jsonl", "plain.txt", "plain.txt.gz"])
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("a\n")
    with pytest.raises(InputError, match=f"--trusted: .*{name} is not a file of records; give a .jsonl"):
        read_trusted(tmp_path / name, CLASSES)
