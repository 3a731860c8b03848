"""A config that works, in an empty working directory."""

from pathlib import Path

import pytest

from tests.bad_input.refusing import Config, Refused, refusal


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the files of a case; the working directory beside it is empty."""
    for name in ("inputs", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "inputs"


@pytest.fixture
def refused(tmp_path: Path, inputs: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must be refused, saying what is given."""
    return lambda words, *said: refusal(words, said, tmp_path, capsys)


@pytest.fixture
def config(world: Path) -> Config:
    """Two steps of RMU on the tiny world, exported."""
    return {
        "model": {
            "pretrained": str(world / "model"),
            "forget": {"class_path": "RMU"},
            "retain": "RepresentationMSE",
            "noise_scale": 0.03,
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-3}},
        },
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {name: {"path": f"{world / name}.jsonl"} for name in ("alchemy", "navigation")},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
            },
        },
        "trainer": {
            "max_steps": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": ["ExportPretrained"],
        },
    }
