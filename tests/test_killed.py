"""kill -9 at random moments of a real run, during writes too: it goes on, bit for bit."""

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from tests.data.test_sets import write_questions
from tests.interrupting import check_same, outcome, write_config

KILLS = 20


def _fit(words: list[str], log: str, datasets_cache: str, slow_disk: bool, largest: int | None) -> None:
    """In a process of its own, which has imported all there is: one command."""
    import datasets
    import torch

    from lit_unlearn.cli import main

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = Path(datasets_cache)
    if slow_disk:  # so that a third of the time goes into writing, and of the kills
        os.fsync = _slowly(os.fsync)
    if largest is not None:  # bytes of a file: the disk is full
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    main(words)


def _slowly(synchronise: Any) -> Any:
    def slow(descriptor: int) -> None:
        time.sleep(0.01)
        synchronise(descriptor)

    return slow


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that begin with everything imported, which would take most of the time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lit_unlearn.trainer_cli", "tests.test_killed", "tests.interrupting"])
    return context


def start(
    context: ForkServerContext, words: list[str], log: Path, *, slow_disk: bool = True, largest: int | None = None
) -> Any:
    arguments = (words, str(log), os.environ["HF_DATASETS_CACHE"], slow_disk, largest)
    process = context.Process(target=_fit, args=arguments)
    process.start()
    return process


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_goes_on_bit_for_bit(
    world: Path, tmp_path: Path, processes: ForkServerContext
) -> None:
    questions = write_questions(tmp_path / "retain.jsonl").path
    config = write_config(world, questions, tmp_path / "tiny.yaml", val_check_interval=20)

    def words(run: Path) -> list[str]:
        return ["fit", "-c", str(config), "--trainer.default_root_dir", str(run), "--ckpt_path", "last"]

    began = time.monotonic()
    first = start(processes, words(tmp_path / "warm"), tmp_path / "log")  # the tokenised rows are cached from here on
    first.join()
    assert first.exitcode == 0, (tmp_path / "log").read_text()
    began = time.monotonic()
    reference = start(processes, words(tmp_path / "whole"), tmp_path / "log")
    reference.join()
    duration = time.monotonic() - began
    whole, moments, writing = outcome(tmp_path / "whole"), random.Random(0), 0
    run, number, killed = tmp_path / "run0", 0, 0
    while killed < KILLS:
        process = start(processes, words(run), tmp_path / "log")
        process.join(moments.uniform(0.2, 1.0) * duration)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            killed += 1
            with contextlib.suppress(FileNotFoundError):
                writing += any(run.rglob(".*.partial"))
            if killed < KILLS:
                continue
            process = start(processes, words(run), tmp_path / "log", slow_disk=False)
            process.join()
        assert process.exitcode == 0, (tmp_path / "log").read_text()
        check_same(run, whole)
        number += 1
        run = tmp_path / f"run{number}"
    print(f"{killed} kills, {writing} while something was written, {number} runs that ended, {duration:.1f} s each")
    assert writing > 0


@pytest.mark.slow
def test_a_run_whose_disk_is_full_goes_on_when_there_is_room(
    world: Path, tmp_path: Path, processes: ForkServerContext
) -> None:
    questions = write_questions(tmp_path / "retain.jsonl").path
    callbacks = ["PerturbationRobustness", {"class_path": "LastCheckpoint", "init_args": {"every_n_steps": 5}}]
    config = write_config(world, questions, tmp_path / "tiny.yaml", callbacks=[*callbacks, "ExportPretrained"])
    words = ["fit", "-c", str(config), "--ckpt_path=last", "--trainer.default_root_dir"]
    whole, run, log = tmp_path / "whole", tmp_path / "run", tmp_path / "log"
    (first := start(processes, [*words, str(whole)], log)).join()
    assert first.exitcode == 0
    for largest, named, there in (
        (50_000, "last.ckpt", set()),
        (1_000_000, "export", {"last.ckpt"}),
    ):
        (full := start(processes, [*words, str(run)], log, largest=largest)).join()
        assert full.exitcode == 2
        last = log.read_text().splitlines()[-1]
        assert last.startswith(f"lit-unlearn: error: {run / named} cannot be written (File too large); what was there")
        assert {"last.ckpt", "export"} & {path.name for path in run.iterdir()} == there
        assert not list(run.rglob(".*.partial"))
    (again := start(processes, [*words, str(run)], log)).join()
    assert again.exitcode == 0
    check_same(run, outcome(whole))
