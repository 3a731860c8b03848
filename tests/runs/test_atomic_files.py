import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_unlearn import InputError
from lit_unlearn.runs.atomic_files import appearing_whole, publish, recover, remove_partial, replacing, write_whole


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def write_half() -> None:
        with appearing_whole(tmp_path / "export") as partial:
            (partial / "half").write_text("a")
            raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
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


def test_a_folder_takes_anothers_place_where_it_may(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with appearing_whole(tmp_path / "export", replace=True) as partial:
            (partial / "model").write_text(content)
    assert [path.read_text() for path in tmp_path.rglob("model")] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_interruption_while_a_folder_is_replaced_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "step").write_text(name)

    def interrupted(*paths: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path / "new", tmp_path / "old")
    recover(tmp_path / "old")
    assert (tmp_path / "old" / "step").read_text() == "old"
    publish(tmp_path / "new", tmp_path / "old")
    recover(tmp_path / "old")
    assert [path.read_text() for path in tmp_path.rglob("step")] == ["new"]


def _file(path: Path) -> None:
    write_whole(path / "results.json", "second")


def _folder(path: Path) -> None:
    with appearing_whole(path / "export") as partial:
        (partial / "model").write_text("second")


@pytest.mark.parametrize("write", [_file, _folder])
def test_a_full_disk_is_one_line_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    write_whole(tmp_path / "results.json", "first")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        InputError, match=r"cannot be written \(No space left on device\); what was there before is int"
    ):
        write(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_a_disk_that_really_is_full(tmp_path: Path) -> None:
    code = """
import resource, signal
from pathlib import Path
from lit_unlearn.runs.atomic_files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_whole(Path("results.json"), "first")
write_whole(Path("results.json"), "x" * 5000)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "RunFailed: results.json cannot be written (File too large)" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


def test_what_is_written_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: there.append((tmp_path / "a").exists()))
    with replacing(tmp_path / "a") as partial:
        partial.write_text("a")
    assert there == [False, True]  # the file, then the folder that has its name


def test_what_a_dead_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".export.7.partial").mkdir()
    (tmp_path / ".export.7.partial" / ".a.7.partial").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".last.ckpt.7.partial").touch()
    remove_partial(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoints"]
