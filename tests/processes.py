"""Processes that begin with everything imported: of a short run, imports would take most of the time."""

import multiprocessing
import os
import socket
from functools import cache
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from pathlib import Path

from lit_unlearn.cli import main

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


def _run(words: list[str], folder: Path, log: Path, variables: dict[str, str]) -> None:
    import torch
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(folder)
    os.environ |= variables
    # Lightning reads it from the variables when it is imported.
    vars(rank_zero_only)["rank"] = int(variables.get("RANK", 0))
    torch.set_num_threads(1)
    main(words)
