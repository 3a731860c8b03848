"""Processes that begin with everything imported: of a short run, imports would take most of the time."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, TypeVar

from lit_unlearn.cli import main
from lit_unlearn.commands.sweep.fit_process import FitProcess, serve

_Found = TypeVar("_Found")
IMPORTED = ("lit_unlearn.commands.fit.cli", "datasets", "lm_eval.evaluator", "peft", "tests.processes")


@cache
def forked() -> ForkServerContext:
    """Where processes come from; they have this session's variables, as they were at the first call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


def run_command(words: list[str], folder: Path, *, processes: int = 1, **variables: str) -> str:
    """Runs a command, in several processes as torchrun begins them.

    Args:
        words: of the command, without its name.
        folder: the working directory; what the processes print is written into `log` in it.
        processes: how many, each on a CPU of this machine.
        variables: of their environment.

    Returns:
        What the processes printed.

    Raises:
        AssertionError: if one fails; with what they printed.
    """
    log, port = folder / "log", free_port()
    log.unlink(missing_ok=True)
    started = [
        forked().Process(target=_run, args=(words, folder, log, torchrun_variables(rank, processes, port) | variables))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    while any(process.is_alive() for process in started):
        wait([process.sentinel for process in started if process.is_alive()])
        if any(process.exitcode for process in started):
            for process in started:
                process.kill()  # the others would wait for the one that failed
    assert not any(process.exitcode for process in started), log.read_text()
    return log.read_text()


def run_in_several(function: Callable[..., None], args: tuple[Any, ...], processes: int) -> None:
    """Calls `function(rank, *args)` in several processes, as `torch.multiprocessing.spawn` does.

    Args:
        function: of a module's top level.
        args: which can be pickled.
        processes: how many.

    Raises:
        ProcessRaisedException: one of them failed.
    """
    from torch.multiprocessing.spawn import start_processes

    forked()  # which says what is imported
    start_processes(function, args, nprocs=processes, start_method="forkserver")


def in_forked_process(function: Callable[..., _Found], *args: object) -> _Found:
    """What `function(*args)` returns in a process of its own.

    Args:
        function: of a module's top level.
        args: which can be pickled.
    """
    with forked().Pool(1) as pool:
        return pool.apply(function, args)


class ForkedFitProcess(FitProcess):
    """A process of a sweep that begins with everything imported; in all else it is as the sweep's own."""

    def __init__(self, log: Path) -> None:
        child = _Forked(log)
        self._child = child  # type: ignore[assignment]  # what FitProcess needs of a Popen
        self.pid = child.pid


class _Forked:
    """Of `subprocess.Popen`, what FitProcess takes."""

    def __init__(self, log: Path) -> None:
        asked, ask = forked().Pipe(duplex=False)
        done, tell = forked().Pipe(duplex=False)
        with log.open("w", encoding="utf-8"):  # empty until it says something
            pass
        args = (asked, tell, log.absolute(), Path.cwd(), {**os.environ})
        self._process = forked().Process(target=_serve, args=args, daemon=False)
        self._process.start()
        for theirs in (asked, tell):
            theirs.close()
        self.stdin = os.fdopen(os.dup(ask.fileno()), "wb")
        self.stdout = os.fdopen(os.dup(done.fileno()), "rb", buffering=0)
        for copied in (ask, done):
            copied.close()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.args = ["serve"]

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


def torchrun_variables(rank: int, processes: int, port: str) -> dict[str, str]:
    """The variables that torchrun gives to one of several processes; to one alone none."""
    if processes == 1:
        return {}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}
    return {name: str(value) for name, value in (ranks | launcher).items()}


def free_port() -> str:
    """A port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def _serve(asked: Connection, tell: Connection, log: Path, folder: Path, variables: dict[str, str]) -> None:
    """Serves as a sweep's process does, from one pipe into the other."""

    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor, standard in ((asked.fileno(), 0), (tell.fileno(), 1), (said, 2)):
        os.dup2(descriptor, standard)
    for one in (asked, tell):
        one.close()  # or the pipe would stay open
    sys.stdin = os.fdopen(0, encoding="utf-8")
    os.chdir(folder)
    os.environ.clear()
    os.environ |= variables
    serve(main)


def _run(words: list[str], folder: Path, log: Path, variables: dict[str, str]) -> None:
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(folder)
    os.environ |= variables
    # Lightning reads it from the variables when it is imported.
    vars(rank_zero_only)["rank"] = int(variables.get("RANK", 0))
    main(words)
