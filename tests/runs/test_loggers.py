from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.runs import loggers as named
from lit_unlearn.runs.loggers import csv, loggers, tensorboard, wandb
from lit_unlearn.runs.metrics_csv import MetricsCSV


class Made:
    """What a library's logger is made with."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.args, self.options = args, options


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "find_spec", lambda name: object())
    for name in ("TensorBoardLogger", "WandbLogger"):
        monkeypatch.setattr(named, name, Made)


@pytest.mark.parametrize("given", [None, True, csv(), [csv()]], ids=["null", "true", "csv", "[csv]"])
def test_metrics_csv_is_written_unless_there_is_no_logger(given: Any, tmp_path: Path) -> None:
    (only,) = loggers(given, tmp_path)
    assert isinstance(only, MetricsCSV)
    assert only.save_dir == str(tmp_path)
    assert loggers(False, tmp_path) == []


@pytest.mark.usefixtures("installed")
def test_a_word_is_a_logger_in_the_runs_folder_and_of_its_name(tmp_path: Path) -> None:
    first, board, page = loggers([tensorboard(), wandb()], tmp_path / "rmu-7b")
    assert isinstance(first, MetricsCSV)
    made: list[Any] = [board, page]
    assert made[0].args == (tmp_path / "rmu-7b",)
    assert made[0].options == {"name": "tensorboard", "version": ""}
    own = made[1].options
    assert (own["name"], own["save_dir"]) == ("rmu-7b", tmp_path / "rmu-7b")
    again: Any = loggers(wandb(), tmp_path / "rmu-7b")[1]
    other: Any = loggers(wandb(), tmp_path / "other")[1]
    assert own["id"] == again.options["id"] != other.options["id"]


def test_a_logger_of_ones_own_stands_beside_the_csv(tmp_path: Path) -> None:
    mine: Logger = CSVLogger(tmp_path)
    first, second = loggers(mine, tmp_path)
    assert isinstance(first, MetricsCSV)
    assert second is mine
    given = MetricsCSV(tmp_path)
    assert loggers(given, tmp_path) == [given]


@pytest.mark.parametrize("word", ["tensorboard", "wandb"])
def test_what_is_not_installed_is_named(word: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(named, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"trainer.logger: {word} is not installed; pip install {word}"):
        main(["fit", "-c", "demo.yaml", f"--trainer.logger={word}", "--debug"])
