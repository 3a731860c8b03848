"""Fits that share a process are those that have one of their own, and none sees what another leaves."""

import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from lit_unlearn.cli import main
from lit_unlearn.commands.sweep import fit_process, study
from lit_unlearn.commands.sweep.fit_process import FitProcess
from lit_unlearn.commands.sweep.study import FitFailed
from lit_unlearn.modules.unlearn import UnlearnModule
from tests.interrupting import check_same, outcome, write_config
from tests.questions.test_sets import write_questions


def test_commands_run_in_one_process_each_with_its_log(tmp_path: Path) -> None:
    process = FitProcess(tmp_path / "0.log")
    for number, words in enumerate((["--version"], ["configs", "demo.yaml"])):
        process.begin(words, tmp_path / f"{number}.log")
        assert process.wait(timeout=60) == 0
    assert not process.ended()
    assert (tmp_path / "0.log").read_text().startswith("lit-unlearn ")
    assert "coefficient: 14" in (tmp_path / "1.log").read_text()
    process.begin(["configs", "none.yaml"], tmp_path / "2.log")
    assert process.wait(timeout=60) == 2
    assert "none.yaml" in (tmp_path / "2.log").read_text()
    assert process.ended()
    process.begin(["--version"], tmp_path / "3.log")
    assert process.wait(timeout=60) == 2
    process.close()


def test_a_process_that_is_killed_says_so(tmp_path: Path) -> None:
    process = FitProcess(tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.1)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL


def test_what_a_run_sets_for_its_process_does_not_reach_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    warned, handler = [*warnings.filters], signal.getsignal(signal.SIGTERM)
    with fit_process._as_before():
        os.environ |= {"KEPT": "after", "PL_GLOBAL_SEED": "7"}
        warnings.simplefilter("error")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        torch.set_default_dtype(torch.bfloat16)
    assert os.environ["KEPT"] == "before"
    assert "PL_GLOBAL_SEED" not in os.environ
    assert signal.getsignal(signal.SIGTERM) is handler
    assert warnings.filters == warned
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert torch.get_default_dtype() == torch.float32


class Sweep:
    """Fits of one sweep, with the process of each."""

    def __init__(self, world: Path, folder: Path) -> None:
        questions = write_questions(folder / "retain.jsonl").path
        self.config = write_config(world, questions, folder / "tiny.yaml", max_steps=4, val_check_interval=2)
        self.folder = folder
        self.fits = study.Fits()
        self.processes: list[int] = []

    def __call__(self, name: str, **options: str) -> dict[str, Any]:
        words = ["-c", str(self.config), "--model.attention_dropout", "0.1"]
        return self.fits(self.folder / name, words, options, started=self.processes.append)


@pytest.fixture
def sweep(world: Path, tmp_path: Path) -> Sweep:
    return Sweep(world, tmp_path)


@pytest.mark.slow
def test_a_run_that_has_ended_takes_no_memory(sweep: Sweep) -> None:
    def held() -> int:
        gc.collect()
        return sum(isinstance(found, UnlearnModule | AdamW) for found in gc.get_objects())

    before = held()
    main(["fit", "-c", str(sweep.config), "--trainer.default_root_dir", str(sweep.folder / "run")])
    assert held() == before


@pytest.mark.slow
def test_a_fit_after_others_is_bit_for_bit_one_of_its_own_process(sweep: Sweep) -> None:
    with sweep.fits.ending_with_us():
        sweep("other", **{"seed_everything": "0", "trainer.deterministic": "true", "model.forget": "SimNPO"})
        sweep("seed-0", seed_everything="0")
        sweep("seed-1", seed_everything="1")
        assert len({*sweep.processes}) == 1
    words = ["-c", str(sweep.config), "--model.attention_dropout", "0.1", "--seed_everything", "1"]
    command = [sys.executable, "-m", "lit_unlearn", "fit", *words, "--trainer.default_root_dir"]
    subprocess.run([*command, str(sweep.folder / "own")], check=True, capture_output=True)
    check_same(sweep.folder / "seed-1", outcome(sweep.folder / "own"))
    assert outcome(sweep.folder / "seed-0")["weights"] != outcome(sweep.folder / "own")["weights"]
    with pytest.raises(ProcessLookupError):  # it ended with the sweep
        os.kill(sweep.processes[0], 0)


@pytest.mark.slow
def test_a_failed_fit_stops_no_other_and_leaves_nothing(sweep: Sweep) -> None:
    failing = {"model.optimizer.init_args.lr": "1e30", "seed_everything": "1"}
    with sweep.fits.ending_with_us():
        sweep("seed-0", seed_everything="0")
        with pytest.raises(FitFailed, match=r"seed-1 ended with status 1; see .*seed-1.log"):
            sweep("seed-1", **failing)
        sweep("seed-2", seed_everything="2")
    first, second, third = sweep.processes
    assert first == second != third
    assert (sweep.folder / "seed-0" / "SHA256SUMS").is_file()
    assert "training diverged" in (sweep.folder / "seed-1.log").read_text()
    assert "After 4 steps" in (sweep.folder / "seed-2.log").read_text()


@pytest.mark.slow
def test_of_a_process_that_is_killed_only_the_fit_that_runs_is_lost(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERRUPT", "1")
    killing = "{class_path: tests.interrupting.Interrupt, init_args: {step: 2, how: SIGKILL}}"
    with sweep.fits.ending_with_us():
        sweep("seed-0", seed_everything="0")
        with pytest.raises(FitFailed, match=r"seed-1 ended with status -9"):
            sweep("seed-1", **{"seed_everything": "1", "trainer.callbacks+": killing})
        sweep("seed-2", seed_everything="2")
    first, second, third = sweep.processes
    assert first == second != third
    assert [(sweep.folder / f"seed-{seed}" / "SHA256SUMS").exists() for seed in range(3)] == [True, False, True]


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_waits_is_replaced(sweep: Sweep) -> None:
    with sweep.fits.ending_with_us():
        sweep("seed-0", seed_everything="0")
        os.kill(sweep.processes[0], signal.SIGKILL)
        while not sweep.fits._idle[0].ended():
            time.sleep(0.05)
        sweep("seed-1", seed_everything="1")
    assert (sweep.folder / "seed-1" / "SHA256SUMS").is_file()


@pytest.mark.slow
def test_a_fit_of_several_processes_has_one_of_its_own(sweep: Sweep) -> None:
    several = {"trainer.devices": "2", "trainer.strategy": "ddp", "seed_everything": "0"}
    with sweep.fits.ending_with_us():
        sweep("seed-0", seed_everything="0")
        sweep("seed-1", **several)
        sweep("seed-2", seed_everything="2")
    first, second, third = sweep.processes
    assert first == third != second
    assert (sweep.folder / "seed-1" / "SHA256SUMS").is_file()
