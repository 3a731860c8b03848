"""No callback overwrites what another run has left, and a resumed run keeps writing its own file."""

import json
from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import Generations, InputError, PerturbationRobustness
from lit_unlearn.callbacks.own_file import OwnFile
from tests.callbacks.test_robustness import EVERY, evaluation
from tests.training import demo_data, demo_module, quiet_trainer


def trainer_of(folder: Path, *callbacks: L.Callback, steps: int = 2) -> L.Trainer:
    return quiet_trainer(folder / "run", max_steps=steps, callbacks=[*callbacks], **EVERY)


@pytest.mark.parametrize(
    ("callback", "file"), [(PerturbationRobustness, "results.json"), (Generations, "generations.json")]
)
def test_a_second_run_in_the_folder_is_refused_before_training(
    callback: type[L.Callback], file: str, world: Path, tmp_path: Path
) -> None:
    data = demo_data(world, evaluation=evaluation(tmp_path))
    trainer_of(tmp_path, callback()).fit(demo_module(world), data)
    before = (tmp_path / "run" / file).read_bytes()
    second = trainer_of(tmp_path, callback())
    message = rf"{callback.__name__}: .*{file} is there already, of another run, .*Trainer\(default_root_dir=…\)"
    with pytest.raises(InputError, match=message):
        second.fit(demo_module(world), data)
    assert second.global_step == 0
    with pytest.raises(InputError, match=message):
        trainer_of(tmp_path, callback()).validate(demo_module(world), data, verbose=False)
    with pytest.raises(InputError, match=message):
        trainer_of(tmp_path, callback()).test(demo_module(world), data, verbose=False)
    assert (tmp_path / "run" / file).read_bytes() == before


def test_a_fast_dev_run_is_no_exception(world: Path, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("of another run")
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()], fast_dev_run=True)
    with pytest.raises(InputError, match=r"results.json is there already"):
        trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)))
    assert trainer.global_step == 0


def test_a_callback_goes_on_in_its_own_file(world: Path, tmp_path: Path) -> None:
    robustness, module = PerturbationRobustness(), demo_module(world)
    data = demo_data(world, evaluation=evaluation(tmp_path))
    keep = ModelCheckpoint(tmp_path / "kept", filename="last", every_n_train_steps=2)
    first = quiet_trainer(
        tmp_path / "run", max_steps=2, callbacks=[robustness, keep], enable_checkpointing=True, **EVERY
    )
    first.fit(module, data)
    first.validate(module, data, verbose=False)
    trainer_of(tmp_path, robustness).validate(module, data, verbose=False)
    resumed = PerturbationRobustness()
    trainer_of(tmp_path, resumed, steps=4).fit(demo_module(world), data, ckpt_path=str(tmp_path / "kept" / "last.ckpt"))
    records = json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"]
    assert [record["step"] for record in records] == [0, 4]  # the checkpoint is older than the evaluation of its step


def test_all_processes_refuse_what_the_first_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be on machines that do not see its disk."""
    trainer = quiet_trainer(tmp_path)
    monkeypatch.setattr(trainer.strategy, "broadcast", lambda found: True)
    with pytest.raises(InputError, match=r"Owner: .*own.json is there already"):
        OwnFile("Owner", "own.json").check(trainer)
