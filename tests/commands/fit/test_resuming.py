"""An interrupted run that goes on is, bit for bit, the run that was never interrupted."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn.cli import main
from lit_unlearn.commands.fit import resuming
from lit_unlearn.runs import folder as run_folder
from lit_unlearn.runs.folder import RunFolder
from tests.interrupting import check_same, outcome, write_config
from tests.questions.test_sets import write_questions


def interrupting(step: int, how: str, *, at: str = "train_batch_end", every: int = 5) -> dict[str, Any]:
    """Trainer options with the callback that interrupts."""
    last = {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": every}}
    options = {"step": step, "how": how, "at": at}
    interrupt = {"class_path": "tests.interrupting.Interrupt", "init_args": options}
    return {"callbacks": ["PerturbationRobustness", "ExportPretrained", last, interrupt]}


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_questions(tmp_path_factory.mktemp("questions") / "retain.jsonl").path


@pytest.fixture(scope="module")
def whole(world: Path, questions: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run has that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    config = write_config(world, questions, folder / "tiny.yaml")
    main(["fit", "-c", str(config), "--trainer.default_root_dir", str(folder / "run")])
    return outcome(folder / "run")


def begin(config: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[BaseException, str]:
    """Runs until it is interrupted: how it ended, and the command that resumes it."""
    with pytest.raises((SystemExit, RuntimeError)) as stop:
        main(["fit", "-c", str(config), "--trainer.default_root_dir", str(run)])
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("lit-unlearn: to resume"))
    return stop.value, said


INTERRUPTED = {
    "exception in the last validation": (interrupting(40, "exception", at="validation_batch_start"), "after step 35"),
    "exception after the export": (interrupting(40, "exception", at="train_end"), "after step 35"),
    "SIGTERM in a step": (interrupting(7, "SIGTERM"), "after step 7"),
    "SIGTERM at the end of an epoch": (interrupting(30, "SIGTERM"), "after step 30"),
    "SIGTERM in the last step": (interrupting(40, "SIGTERM"), "after step 35"),
    "Ctrl-C in a step": (interrupting(7, "SIGINT"), "after step 7"),
    "Ctrl-C in a validation": (interrupting(20, "SIGINT", at="validation_batch_start"), "after step 20"),
    "Ctrl-C where no checkpoint is due": (
        interrupting(20, "SIGINT", at="validation_batch_start", every=7),
        "after step 20",
    ),
    "SIGTERM in a validation": (interrupting(20, "SIGTERM", at="validation_batch_start", every=7), "after step 20"),
    "Ctrl-C at the end of an epoch": (interrupting(30, "SIGINT"), "after step 30"),
}
_STATUS = {"SIGTERM": 143, "SIGINT": 130}


def test_a_short_run_goes_on_bit_for_bit(
    world: Path, questions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(name: str) -> Path:
        options = interrupting(3, "SIGINT", every=2) | {"max_steps": 4, "val_check_interval": 2}
        return write_config(world, questions, tmp_path / name, **options)

    main(["fit", "-c", str(short("whole.yaml")), f"--trainer.default_root_dir={tmp_path / 'whole'}"])
    expected = outcome(tmp_path / "whole")
    monkeypatch.setenv("INTERRUPT", "1")
    ended, said = begin(short("tiny.yaml"), tmp_path / "run", capsys)
    assert isinstance(ended, SystemExit)
    assert ended.code == 130
    assert said.startswith("lit-unlearn: to resume (after step 3")
    main(shlex.split(said.split("): ")[1])[1:])
    check_same(tmp_path / "run", expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTERRUPTED)
def test_it_goes_on_bit_for_bit(
    world: Path,
    questions: str,
    whole: dict[str, Any],
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer, where = INTERRUPTED[name]
    config = write_config(world, questions, tmp_path / "tiny.yaml", **trainer)
    monkeypatch.setenv("INTERRUPT", "1")
    ended, said = begin(config, tmp_path / "run", capsys)
    how = trainer["callbacks"][-1]["init_args"]["how"]
    assert isinstance(ended, RuntimeError) if how == "exception" else ended.code == _STATUS[how]  # type: ignore[attr-defined]
    assert said.startswith(f"lit-unlearn: to resume ({where}")
    assert not (tmp_path / "run" / "SHA256SUMS").exists()
    main(shlex.split(said.split("): ")[1])[1:])
    check_same(tmp_path / "run", whole)
    main(["verify", str(tmp_path / "run"), str(tmp_path / "run" / "export")])


@pytest.fixture
def started(world: Path, questions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command that resumes a run of which there is only a config, as one leaves it that is killed early."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    config = write_config(world, questions, tmp_path / "tiny.yaml", max_steps=2, callbacks=[], limit_val_batches=0)
    words = ["fit", "-c", str(config), "--trainer.default_root_dir=run"]
    with pytest.raises(SystemExit):
        main([*words, "--model.layer=70"])  # refused; nothing is left
    return [*words, "--ckpt_path=last"]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("lit-unlearn: error: ")


def test_one_command_begins_goes_on_and_is_done(started: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(started)
    assert "There is no checkpoint in run yet: from the beginning" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    with pytest.raises(SystemExit) as stop:
        main(started)
    assert stop.value.code == 0
    assert "The run in run is finished; a longer one: --ckpt_path run/last.ckpt" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before
    main([*started[:3], "--ckpt_path=run/last.ckpt", "--trainer.max_steps=3", "--trainer.default_root_dir=longer"])
    assert torch.load("longer/last.ckpt", weights_only=True)["global_step"] == 3
    Path("run/SHA256SUMS").unlink()  # as if it had been killed before the end
    message = refused([*started, "--model.retain_weight=7"], capsys)
    assert message.startswith("model.retain_weight: the run in run has 1200.0, this command 7.0; resume with the same")
    Path("run/.results.json.7.partial").touch()
    main(started)
    assert "Resuming from run/last.ckpt" in capsys.readouterr().out
    assert not Path("run/.results.json.7.partial").exists()
    Path("run/SHA256SUMS").unlink()
    Path("run/last.ckpt").write_bytes(Path("run/last.ckpt").read_bytes()[:5000])
    assert refused(started, capsys).startswith("ckpt_path: run/last.ckpt is not a checkpoint, or was cut off; give one")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--trainer.default_root_dir=null"],
            "ckpt_path: 'last' resumes the run in trainer.default_root_dir; give",
        ),
        (
            ["--trainer.default_root_dir=.."],
            "trainer.default_root_dir: .. holds something already, perhaps another run",
        ),
    ],
)
def test_last_without_a_run_is_refused(
    started: list[str], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused([*started, *words], capsys).startswith(message)
    assert refused(["validate", *started[1:]], capsys).startswith("ckpt_path: 'last' resumes a fit")


def test_a_run_that_is_being_written_is_left_alone(
    started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    with RunFolder() as other:
        other.claim("run", [])
        assert refused(started, capsys).startswith("trainer.default_root_dir: another run is writing into run; wait")


@pytest.mark.parametrize("resumes", [False, True])
def test_a_run_that_begins_again_has_nothing_of_its_first_attempt(tmp_path: Path, resumes: bool) -> None:
    written = ("results.json", "generations.json", "lm_eval.json", "metrics.csv")
    for name in ("config.yaml", *written, *(["last.ckpt"] if resumes else [])):
        (tmp_path / name).touch()
    resuming.clean(tmp_path)
    assert (tmp_path / "config.yaml").exists()
    assert [(tmp_path / name).exists() for name in written] == [resumes] * 4
