from pathlib import Path

import pytest

from lit_unlearn.callbacks.trained_parameters import TrainedParameters
from lit_unlearn.modules.unlearn import UnlearnModule
from tests.training import demo_data, demo_module, quiet_trainer


def line(world: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    trainer = quiet_trainer(folder, max_steps=1, callbacks=[TrainedParameters()], enable_model_summary=True)
    trainer.fit(demo_module(world), demo_data(world, batch_size=4))
    (found,) = [line for line in capsys.readouterr().out.splitlines() if "trained: " in line]
    return found


def test_a_fit_says_what_it_trains(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = "RMU + RepresentationMSE at layer 7 of 10"
    assert line(world, tmp_path, capsys).startswith(f"{losses}; trained: 3 weights, 24.6 k of ")


def test_of_a_sharded_model_it_names_no_numbers(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(UnlearnModule, "is_sharded", lambda module: True)
    assert line(world, tmp_path, capsys).endswith("; trained: 3 weights")
