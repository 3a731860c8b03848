import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_unlearn.cli import main
from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with an export."""
    export = tmp_path / "run" / "export"
    export.mkdir(parents=True)
    (export / "model.safetensors").write_bytes(b"weights")
    checksums.write_checksums(export)
    (tmp_path / "run" / "results.json").write_text("{}")
    checksums.write_checksums(tmp_path / "run")
    return tmp_path / "run"


def test_nothing_is_wrong_with_what_was_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", str(run), str(run / "export")])
    assert (
        capsys.readouterr().out
        == f"{run}: every file is as it was written\n{run}/export: every file is as it was written\n"
    )


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_the_same_file(run: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=run, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.split() == ["export/SHA256SUMS:", "OK", "export/model.safetensors:", "OK", "results.json:", "OK"]


CHANGES: dict[str, Callable[[Path], object]] = {
    "results.json: missing": lambda run: (run / "results.json").unlink(),
    "results.json: changed": lambda run: (run / "results.json").write_text("{ }"),
    "export/model.safetensors: changed": lambda run: (run / "export/model.safetensors").write_bytes(b"Weights"),
    "export/pytorch_model.bin: not listed": lambda run: (run / "export/pytorch_model.bin").touch(),
}


@pytest.mark.parametrize("line", CHANGES)
def test_each_change_is_named(run: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    CHANGES[line](run)
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(run)])
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"{run}/{line}\n"


def test_a_later_folder_is_held_against_its_own_checksums(run: Path) -> None:
    later = run / "analysis" / "maxlogit"
    later.mkdir(parents=True)
    (later / "section.json").write_text("{}")
    assert checksums.wrong(run) == ["analysis/maxlogit/section.json: not listed"]
    checksums.write_checksums(later)
    assert checksums.wrong(run) == []
    (later / "section.json").write_text("{ }")
    assert checksums.wrong(run) == ["analysis/maxlogit/section.json: changed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "verify: takes folders alone"),
        (["nowhere"], "verify: nowhere is no folder"),
        (["."], "verify: . holds no SHA256SUMS"),
    ],
)
def test_a_folder_without_checksums_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["verify", *words])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"lit-unlearn: error: {message}")


def test_a_list_that_is_cut_is_refused(run: Path) -> None:
    (run / "SHA256SUMS").write_text("abc")
    with pytest.raises(InputError, match="is no list of checksums"):
        checksums.wrong(run)
