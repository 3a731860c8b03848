"""kill -9 at random moments of a real run, during writes too, and full disks: it goes on, bit for bit."""

import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.interrupting import STEPS, check_same, outcome, write_config
from tests.processes import forked
from tests.questions.test_sets import write_questions

KILLS = 20


class Moment(NamedTuple):
    """When a process is killed: in its n-th write, or so many seconds after it has begun its n-th step."""

    number: int
    writing: bool
    delay: float


def _fit(words: list[str], log: str, moment: Moment | None, largest: int | None) -> None:
    """One command, in a process of its own, which has imported all there is."""

    from lit_unlearn.cli import main
    from lit_unlearn.modules.unlearn import UnlearnModule

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if moment is not None and moment.writing:
        os.fsync = _killing(os.fsync, moment)
    elif moment is not None:
        UnlearnModule.training_step = _killing(UnlearnModule.training_step, moment)  # type: ignore[method-assign]
    if largest is not None:  # bytes of a file: the disk is full
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    main(words)


def _killing(function: Callable[..., Any], moment: Moment) -> Callable[..., Any]:
    """The same function, at whose n-th call the process begins to die."""
    calls = iter(range(1, 100_000))

    def called(*args: Any) -> Any:
        now = next(calls) == moment.number
        if now and moment.writing:
            os.kill(os.getpid(), signal.SIGKILL)  # before the file, or the folder that names it, is on disk
        elif now:
            threading.Timer(moment.delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return function(*args)

    return called


def fit(words: list[str], log: Path, moment: Moment | None = None, *, largest: int | None = None) -> int:
    """The status of a command, negative if it was killed."""
    process = forked().Process(target=_fit, args=(words, str(log), moment, largest))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_goes_on_bit_for_bit(world: Path, tmp_path: Path) -> None:
    questions, log = write_questions(tmp_path / "retain.jsonl").path, tmp_path / "log"
    config = write_config(world, questions, tmp_path / "tiny.yaml", val_check_interval=STEPS // 2)
    words = ["fit", "-c", str(config), "--ckpt_path=last", "--trainer.default_root_dir"]
    assert fit([*words, str(tmp_path / "whole")], log) == 0
    whole, source, kills, writing, ended = outcome(tmp_path / "whole"), random.Random(0), 0, 0, 0
    while kills < KILLS:
        run = tmp_path / f"run{ended}"
        moment = Moment(source.randint(1, 25), kills % 2 == 0, source.uniform(0, 0.02))
        if fit([*words, str(run)], log, moment) == -signal.SIGKILL:
            kills += 1
            writing += any(run.rglob(".*.partial"))
        if kills == KILLS:
            assert fit([*words, str(run)], log) == 0
        if (run / "SHA256SUMS").exists():
            check_same(run, whole)
            ended += 1
    print(f"{kills} kills, {writing} of them left something half-written; {ended} runs were gone on with to their end")
    assert writing > 0
    assert ended > 1


@pytest.mark.slow
def test_a_run_whose_disk_is_full_goes_on_when_there_is_room(world: Path, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "retain.jsonl").path
    config = write_config(world, questions, tmp_path / "tiny.yaml", max_steps=10)
    words = ["fit", "-c", str(config), "--ckpt_path=last", "--trainer.default_root_dir"]
    whole, run, log = tmp_path / "whole", tmp_path / "run", tmp_path / "log"
    assert fit([*words, str(whole)], log) == 0
    for largest, named, there in ((50_000, "last.ckpt", set()), (1_000_000, "export", {"last.ckpt"})):
        assert fit([*words, str(run)], log, largest=largest) == 1
        last = log.read_text().splitlines()[-1]
        assert last.startswith(f"lit-unlearn: error: {run / named} cannot be written (File too large); what was there")
        assert {"last.ckpt", "export"} & {path.name for path in run.iterdir()} == there
        assert not list(run.rglob(".*.partial"))
    assert fit([*words, str(run)], log) == 0
    check_same(run, outcome(whole))
