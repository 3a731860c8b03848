from collections.abc import Callable
from pathlib import Path

import pytest

from lit_unlearn.cli import main
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
    assert capsys.readouterr().out == f"{run}: every file is unchanged\n{run}/export: every file is unchanged\n"


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "verify: takes folders, or a results.json"),
        (["nowhere"], "verify: nowhere is not a folder"),
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
