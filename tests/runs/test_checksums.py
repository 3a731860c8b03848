import shutil
import subprocess
from pathlib import Path

import pytest

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


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_reads_the_same_file(run: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=run, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.split() == ["export/SHA256SUMS:", "OK", "export/model.safetensors:", "OK", "results.json:", "OK"]


def test_a_later_folder_is_held_against_its_own_checksums(run: Path) -> None:
    later = run / "analysis" / "maxlogit"
    later.mkdir(parents=True)
    (later / "section.json").write_text("{}")
    assert checksums.wrong(run) == ["analysis/maxlogit/section.json: not listed"]
    checksums.write_checksums(later)
    assert checksums.wrong(run) == []
    (later / "section.json").write_text("{ }")
    assert checksums.wrong(run) == ["analysis/maxlogit/section.json: changed"]


def test_a_list_that_is_cut_is_refused(run: Path) -> None:
    (run / "SHA256SUMS").write_text("abc")
    with pytest.raises(InputError, match="is not a list of checksums"):
        checksums.wrong(run)


def test_of_one_new_file_no_other_checksum_changes(run: Path) -> None:
    export = run / "export"
    (export / "README.md").write_text("a card")
    (export / "model.safetensors").write_bytes(b"other weights")
    for folder in (export, run):
        checksums.update(folder, export / "README.md")
    assert checksums.wrong(run) == ["export/model.safetensors: changed"]
    assert checksums.wrong(export) == ["model.safetensors: changed"]
    (export / "model.safetensors").write_bytes(b"weights")
    assert checksums.wrong(run) == checksums.wrong(export) == []


def test_a_folder_without_checksums_gets_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a card")
    checksums.update(tmp_path, tmp_path / "README.md")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
