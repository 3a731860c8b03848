"""A process that runs fits one after the other, so that imports and parsers are loaded once."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select

_SERVE = "from lit_unlearn.cli import main; from lit_unlearn.commands.sweep.fit_process import serve; serve(main)"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class FitProcess:
    """Runs commands one after the other in one process, until one fails: then the process ends with its status.

    It outlives its parent by the command that runs, as one that is alone in its process does.

    Args:
        log: where what goes wrong before the first command is written.
    """

    def __init__(self, log: Path) -> None:
        with log.open("w", encoding="utf-8") as out:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out
            )
        self.pid = self._child.pid

    def begin(self, words: Sequence[str], log: Path) -> None:
        """Begins a command, when the one before has ended.

        Args:
            words: of the command line.
            log: what it prints goes here, whatever the file held.
        """
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: `wait` says how
            self._child.stdin.write(f"{json.dumps([[*words], str(log)])}\n".encode())
            self._child.stdin.flush()

    def wait(self, timeout: float) -> int:
        """The status with which the command ends.

        Raises:
            TimeoutExpired: it has not ended after `timeout` seconds.
        """
        assert self._child.stdout is not None
        # Processes that prepare batches may hold the pipe open when this one is killed, so it is not enough to read.
        until = time.monotonic() + timeout
        while not select([self._child.stdout], [], [], 0.2)[0]:
            if self._child.poll() is not None:
                return self._child.returncode
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self._child.args, timeout)
        return 0 if self._child.stdout.read(1) else self._child.wait()

    def terminate(self) -> None:
        """Asks the command that runs to end."""
        self._child.terminate()

    def ended(self) -> bool:
        """Whether it takes no more commands."""
        return self._child.poll() is not None

    def close(self) -> None:
        """Ends it after the command that runs."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait()


def serve(run: Callable[[Sequence[str]], None]) -> None:
    """Runs the commands that standard input asks for, each a line of JSON with its words and its log.

    Args:
        run: one command; a SystemExit or an error ends the process, so no other command finds what a failed one left.

    Raises:
        SystemExit: Ctrl-C between two commands, with status 130.
    """
    done = os.dup(sys.stdout.fileno())  # a byte for each command that has ended well; the log is standard output's
    try:
        for line in sys.stdin:
            words, log = json.loads(line)
            _print_into(log)
            with _as_before():
                run(words)
            os.write(done, b".")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # of the sweep that asked; the command itself has ended well
        return


def _print_into(log: str) -> None:
    """Lets this process, and those that it starts, write what they print into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    for standard in (1, 2):
        os.dup2(file, standard)
    os.close(file)


@contextmanager
def _as_before() -> Iterator[None]:
    """After this context the process is as before: what a run sets for all of it must not reach the next run."""
    import torch

    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    deterministic, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark, dtype = torch.backends.cudnn.benchmark, torch.get_default_dtype()
    with warnings.catch_warnings():
        yield
    os.environ.clear()
    os.environ.update(environment)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.use_deterministic_algorithms(deterministic, warn_only=warns)
    torch.backends.cudnn.benchmark = benchmark
    torch.set_default_dtype(dtype)
    _forget_models()


def _forget_models() -> None:
    """Frees what a run's model and optimizer took: they refer to each other, so that only the collector finds them."""
    import torch

    gc.collect()
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()  # beyond a few models compiled code of a function is given up
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
