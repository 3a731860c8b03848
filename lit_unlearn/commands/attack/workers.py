"""Several processes that share out the units of a card."""

from collections.abc import Sequence
from pathlib import Path
from subprocess import TimeoutExpired

from lit_unlearn.commands.sweep.fit_process import FitProcess
from lit_unlearn.errors import RunFailed

_LOG = "worker-{}.log"


def work(words: Sequence[str], folder: Path, count: int) -> None:
    """Runs a command in several processes and waits for all of them; each takes units that no other has.

    Args:
        words: of the command line, without `attack`.
        folder: of the card, in which each process has a log while it runs.
        count: of processes.

    Raises:
        RunFailed: a process failed; what is done is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = [folder / _LOG.format(place) for place in range(1, count + 1)]
    processes = [FitProcess(log) for log in logs]
    for process, log in zip(processes, logs, strict=True):
        process.begin(["attack", *words], log)
    try:
        statuses = [_ended(process) for process in processes]
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    failed = [str(log) for log, status in zip(logs, statuses, strict=True) if status]
    if failed:
        raise RunFailed(
            f"attack: {len(failed)} of {count} processes failed; see {', '.join(failed)}, then run it again"
        )
    for process, log in zip(processes, logs, strict=True):
        process.close()
        log.unlink(missing_ok=True)


def _ended(process: FitProcess) -> int:
    """The status of the command that runs."""
    while True:
        try:
            return process.wait(timeout=3600)
        except TimeoutExpired:
            continue
