"""The study behind a sweep, which Optuna keeps in its storage, and the fits that it is made of."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep.devices import on_one_device
from lit_unlearn.commands.sweep.fit_process import FitProcess
from lit_unlearn.errors import InputError
from lit_unlearn.questions.excess import PREFIX
from lit_unlearn.questions.outcomes import OTHER_WEIGHTS
from lit_unlearn.runs import layout

_SHARED = "options of all fits"


class FitFailed(Exception):
    """A fit that crashed or was stopped; its log says why, and the others continue."""


def open_study(
    folder: Path, words: Words, *, kind: str, storage: str | None = None, sampler: BaseSampler | None = None
) -> optuna.Study:
    """The study of a folder: new, or as earlier workers left it, or as others are using it.

    Args:
        folder: where the fits write; made where it does not exist.
        words: options that all fits share.
        kind: what else all workers must have in common.
        storage: an SQLAlchemy URL; None keeps the study in `study.log` of the folder, which may be on a shared disk.
        sampler: what suggests values, in a search.

    Raises:
        InputError: the storage cannot be used, or the folder holds a sweep with other options.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # a failed fit has its own log, and a line of ours
    warnings.filterwarnings("ignore", category=ExperimentalWarning)  # of constraints
    try:
        if not storage:
            folder.mkdir(parents=True, exist_ok=True)
        # Without a server the journal is the storage in which no two workers can take the same trial.
        kept: BaseStorage = (
            RDBStorage(storage) if storage else JournalStorage(JournalFileBackend(str(folder / layout.STUDY)))
        )
        study = optuna.create_study(
            storage=kept,
            study_name=f"lit-unlearn {folder.as_posix()}" if storage else "lit-unlearn",
            load_if_exists=True,
            direction="maximize",
            sampler=sampler,
        )
        folder.mkdir(parents=True, exist_ok=True)
    except Exception as error:
        named, remedy = ("sweep.storage", "give an SQLAlchemy URL") if storage else ("sweep.out", "give another folder")
        raise InputError(f"{named}: {storage or folder} cannot hold the study ({error}); {remedy}") from error
    _check_shared(study, folder, [*words.typed, kind], config_hashes(words))
    return study


class Ending(Protocol):
    """A process that runs a fit."""

    def wait(self, timeout: float) -> int:
        """The status with which the fit ends.

        Raises:
            TimeoutExpired: it has not ended after `timeout` seconds.
        """

    def terminate(self) -> None:
        """Asks the fit to end."""


class Fits:
    """Runs fits, one after the other in as few processes as run at a time, and ends them when the sweep ends.

    Fits that Lightning starts further processes for have one of their own. So has what follows a failed fit.
    """

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._idle: list[FitProcess] = []

    def __call__(
        self,
        folder: Path,
        words: Sequence[str],
        options: Mapping[str, str],
        *,
        ours: bool = False,
        started: Callable[[int], None] = lambda pid: None,
    ) -> dict[str, Any]:
        """Runs `lit-unlearn fit`; what it prints goes into a `.log` beside its folder.

        Args:
            folder: the run's folder.
            words: options of fit.
            options: more of them, by name.
            ours: whether a folder that is there already is a killed fit's of this sweep, to be replaced.
            started: told the process.

        Returns:
            Its results.json; empty where the config has neither PerturbationRobustness nor
            LikelihoodRobustness.

        Raises:
            InputError: fit refused its options, or the folder holds what this sweep does not know.
            FitFailed: it crashed, or was stopped.
        """
        _clear(folder, ours=ours)
        log = folder.with_name(f"{folder.name}.log")
        added = [word for option, value in options.items() for word in (f"--{option}", value)]
        command = ["fit", *words, *added, "--trainer.default_root_dir", str(folder)]
        run = self._after_others if _shares_process(command) else self._alone
        status = run(command, log, started)
        if status == 2:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
            raise InputError(f"sweep: {folder.name}: {said[-1].removeprefix('lit-unlearn: error: ')}")
        if status:
            raise FitFailed(f"{folder} ended with status {status}; see {log}")
        found = folder / layout.RESULTS
        return json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {}

    @contextmanager
    def ending_with_us(self) -> Iterator[None]:
        """Within this context Ctrl-C and SIGTERM end the fits that run, and none is begun after."""
        before = None
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            yield
        except BaseException:
            self.stopped.set()
            raise
        finally:
            self._close()
            if before is not None:
                signal.signal(signal.SIGTERM, before)

    def _after_others(self, command: Sequence[str], log: Path, started: Callable[[int], None]) -> int:
        """The status of a command in a process that has run others, if there is one that waits."""
        process = self._waiting() or FitProcess(log)
        try:
            started(process.pid)
            process.begin(command, log)
            status = self._wait(process)
        except BaseException:
            process.terminate()
            raise
        self._idle.append(process)  # where it has ended, the next finds so
        if self.stopped.is_set():
            self._close()
        return status

    def _waiting(self) -> FitProcess | None:
        """A process that has done what it was asked; None where there is none."""
        with suppress(IndexError):
            while (process := self._idle.pop()).ended():
                process.close()
            return process
        return None

    def _close(self) -> None:
        """Ends the processes that wait."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _alone(self, command: Sequence[str], log: Path, started: Callable[[int], None]) -> int:
        """The status of a command in a process of its own."""
        words = [sys.executable, "-m", "lit_unlearn", *command]
        with log.open("w", encoding="utf-8") as out, subprocess.Popen(words, stdout=out, stderr=out) as child:
            started(child.pid)
            return self._wait(child)

    def _wait(self, child: Ending) -> int:
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if self.stopped.is_set():
                    child.terminate()


def last_measured(results: Mapping[str, Any]) -> dict[str, float]:
    """What the last evaluation of the trained weights found.

    Accuracy by variant, 0 to 1; where LikelihoodRobustness counted, also excess and damage by kind of insertion, such
    as `insert/16-gram/trained/excess`, and `forget_nll` and `retain_nll` of held-out rows, in nats.
    """
    trained = [record for record in results.get("evaluations", []) if not OTHER_WEIGHTS & record.keys()]
    if not trained:
        return {}
    last = trained[-1]
    found = {name: row["accuracy"] for name, row in last["measured"].items()}
    if PREFIX not in last:
        return found
    for name, row in last[PREFIX]["measured"].items():
        found |= {f"{name}/{key}": row[key] for key in ("excess", "damage") if key in row}
    return found | {f"{stream}_nll": fmean(rows["nll"]) for stream, rows in last.get("held_out", {}).items()}


def shown(name: str, value: float) -> str:
    """A measured number: an accuracy in percent, others in nats.

    Example:
        >>> shown("retain/4-gram", 0.814), shown("insert/word/trained/excess", 0.814)
        ('81.4', '0.814')
    """
    nats = name.startswith(f"{PREFIX}/") or name.endswith("_nll")
    return f"{value:.3f}" if nats else f"{100 * value:.1f}"


def config_hashes(words: Words) -> list[str]:
    """Of each config among the words, what tells it from a changed one."""
    return [file.sha256 for file in words.files]


def _shares_process(command: Sequence[str]) -> bool:
    """Whether a fit can run in a process that runs others; one that will be refused has its own, which says why."""
    try:
        return on_one_device(Words.read(command))
    except InputError:
        return False


def _clear(folder: Path, *, ours: bool) -> None:
    if folder.exists() and not ours:
        raise InputError(
            f"sweep.out: {folder} holds a run that this sweep does not know; move it away, or give another folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)


def _check_shared(study: optuna.Study, folder: Path, words: Sequence[str], configs: Sequence[str]) -> None:
    """Done fits are skipped, so they must be those that these options would make."""
    if study.user_attrs.setdefault(_SHARED, [*words, *configs]) != [*words, *configs]:
        before = " ".join(word for word in study.user_attrs[_SHARED] if len(word) != 64)
        raise InputError(
            f"sweep.out: {folder} holds a sweep of other options or config files ({before}); resume with those, or "
            "give another folder"
        )
    study.set_user_attr(_SHARED, [*words, *configs])


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
