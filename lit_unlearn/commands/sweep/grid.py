"""A fit for every point of a list, shared out among any number of workers."""

import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep.study import FitFailed, Fits, config_hashes, last_measured
from lit_unlearn.errors import InputError

HEARTBEAT = 20.0
"""Seconds between a worker's signs of life; after six without one its fit is another worker's."""
_POINT = "point"  # the attribute of a trial that names its folder
_OPTIONS = "options"  # the one that says how it is fitted
_ALIVE = "alive"  # when its worker last gave a sign of life
_PROCESS = "process"  # the machine and the process of its fit
_OPEN = (TrialState.WAITING, TrialState.RUNNING)


class Point(NamedTuple):
    """One fit of a sweep."""

    folder: str
    """Where it writes, relative to the sweep's folder."""
    options: Mapping[str, str]
    """Options of fit by name."""


Report = Callable[[Point, Mapping[str, float]], None]
"""What is printed of a point: that it is done, and the accuracies it ended with."""


def run_points(
    study: optuna.Study, folder: Path, words: Sequence[str], points: Iterable[Point], *, workers: int, report: Report
) -> list[Point]:
    """Runs the points that no worker has done or is doing, and waits for those of others.

    Args:
        study: of the folder.
        folder: where the points write.
        words: options that all fits share.
        points: what to run.
        workers: fits at a time in this process.
        report: called with each point that is done here.

    Returns:
        The points whose fit failed; they run again when asked again.

    Raises:
        InputError: fit refused its options, or a point was done with others.
    """
    fits = Fits()
    queue = _Queue(study, {point.folder: point for point in points}, fits.stopped)
    queue.fill()

    def work() -> None:
        for point, trial, ours in queue:
            try:
                with _signs_of_life(trial) as started:
                    found = fits(folder / point.folder, words, point.options, ours=ours, started=started)
            except FitFailed:
                _tell(study, trial, TrialState.FAIL)
            except BaseException:
                fits.stopped.set()
                _tell(study, trial, TrialState.FAIL)
                raise
            else:
                measured = last_measured(found)
                _tell(study, trial, TrialState.COMPLETE)
                report(point, measured)

    with ThreadPoolExecutor(workers) as pool, fits.ending_with_us():
        running = {pool.submit(work) for _ in range(workers)}
        while running:  # a signal just before a wait without a limit would be heeded only after it
            done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for worker in done:
                worker.result()
    return queue.failed()


class _Queue:
    """The points that wait, one after the other, until all are done here or elsewhere."""

    def __init__(self, study: optuna.Study, points: Mapping[str, Point], stopped: threading.Event) -> None:
        self.study = study
        self.points = points
        self.stopped = stopped
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Queues the points that are neither done, nor waiting, nor with a worker.

        Raises:
            InputError: one of them was done with other options.
        """
        known = {_name(trial): trial for trial in self._trials((*_OPEN, TrialState.COMPLETE))}
        for name, point in self.points.items():
            attributes = {_POINT: name, _OPTIONS: _point_key(point)}
            if name not in known:
                self.study.enqueue_trial({}, user_attrs=attributes)
            elif known[name].user_attrs.get(_OPTIONS) != attributes[_OPTIONS]:
                raise InputError(f"sweep: {name} was fitted with other options or another config; give another folder")

    def __iter__(self) -> Iterator[tuple[Point, Trial, bool]]:
        """Points with their trials, and whether an earlier trial may have left something in the folder."""
        while not self.stopped.is_set() and self._open():
            with self._lock:
                trial = self.study.ask() if self._waiting() else None
            if trial is None:
                time.sleep(HEARTBEAT / 10)  # the rest is with workers: soon done, or for us to take over
            elif _name(trial) not in self.points:
                self._give_back(trial)
            elif self._taken_before(trial):
                _tell(self.study, trial, TrialState.PRUNED)
            else:
                earlier = self._trials((TrialState.FAIL,))
                ours = any(_name(one) == _name(trial) for one in earlier)
                yield self.points[_name(trial)], trial, ours

    def failed(self) -> list[Point]:
        """The points that are not done."""
        done = {_name(trial) for trial in self._trials((TrialState.COMPLETE,))}
        return [point for name, point in self.points.items() if name not in done]

    def _open(self) -> bool:
        """Whether a point waits or runs; one whose worker died waits again."""
        for trial in self._trials((TrialState.RUNNING,)):
            if _dead(trial):
                with suppress(UpdateFinishedTrialError, ValueError):  # another worker was faster
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    self.study.enqueue_trial({}, user_attrs=_of_point(trial))
        return any(_name(trial) in self.points for trial in self._trials(_OPEN))

    def _waiting(self) -> bool:
        return any(_name(trial) in self.points for trial in self._trials((TrialState.WAITING,)))

    def _give_back(self, trial: Trial) -> None:
        """Queues the point of another worker's list again: Optuna hands out whatever waits longest."""
        _tell(self.study, trial, TrialState.PRUNED)
        self.study.enqueue_trial({}, user_attrs=_of_point(trial))

    def _taken_before(self, trial: Trial) -> bool:
        """Whether an earlier trial does or did this point: two workers that start at once both queue it."""
        others = self._trials((TrialState.RUNNING, TrialState.COMPLETE))
        return any(other.number < trial.number and _name(other) == _name(trial) for other in others)

    def _trials(self, states: Sequence[TrialState]) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=tuple(states))


@contextmanager
def _signs_of_life(trial: Trial) -> Iterator[Callable[[int], None]]:
    """Within this context other workers see that this trial's one is alive; given the fit's process, that it is."""
    over = threading.Event()

    def show() -> None:
        with suppress(UpdateFinishedTrialError):
            while True:
                trial.set_user_attr(_ALIVE, time.time())
                if over.wait(HEARTBEAT):
                    return

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield lambda pid: trial.set_user_attr(_PROCESS, [platform.node(), pid])
    finally:
        over.set()
        thread.join()


def _tell(study: optuna.Study, trial: Trial, state: TrialState) -> None:
    """Closes a trial, unless another worker took this one for dead: it was silent, as a machine asleep is."""
    # Optuna wants a value of what is complete; a grid has no objective.
    value = 0.0 if state == TrialState.COMPLETE else None
    with suppress(UpdateFinishedTrialError, ValueError):
        study.tell(trial, value, state=state)


def _name(trial: Trial | FrozenTrial) -> str:
    return str(trial.user_attrs.get(_POINT))


def _dead(trial: FrozenTrial) -> bool:
    """Whether its worker has been silent for long and its fit, as far as this machine can see, has ended."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    silent = time.time() - max(begun, float(trial.user_attrs.get(_ALIVE, 0.0)))
    machine, process = trial.user_attrs.get(_PROCESS, ("", 0))
    return silent > 6 * HEARTBEAT and not (machine == platform.node() and _runs(process))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _of_point(trial: Trial | FrozenTrial) -> dict[str, Any]:
    return {name: trial.user_attrs.get(name) for name in (_POINT, _OPTIONS)}


def _point_key(point: Point) -> list[str]:
    """What decides a point's results: its options, and the contents of its config."""
    config = point.options.get("config")
    return [
        *map(str, point.options.items()),
        *(config_hashes(Words.read(["--config", config], command="fit")) if config else []),
    ]
