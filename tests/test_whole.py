from pathlib import Path

import pytest

from lit_unlearn import InputError
from lit_unlearn.whole import appearing_whole, write_whole


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write_half() -> None:
        with appearing_whole(tmp_path / "export") as partial:
            (partial / "half").write_text("a")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with appearing_whole(tmp_path / "export") as partial:
        (partial / "whole").write_text("a")
        assert not (tmp_path / "export").exists()
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["whole"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "results.json", "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "results.json", "\ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_what_was_written_stays_where_the_name_is_taken(tmp_path: Path) -> None:
    def write_late() -> None:
        with appearing_whole(tmp_path / "export") as partial:
            (partial / "model").write_text("a")
            (tmp_path / "export" / "other").mkdir(parents=True)

    with pytest.raises(InputError, match="cannot be made"):
        write_late()
    assert [path.read_text() for path in tmp_path.glob(".export.*.partial/model")] == ["a"]
