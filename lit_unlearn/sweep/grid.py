"""A fit for every point of a list, shared out among any number of workers."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_unlearn.sweep.study import FitFailed, fit, last_accuracies

HEARTBEAT = 20.0
"""Seconds between a worker's signs of life; after six without one its fit is another worker's."""
_POINT = "point"  # the attribute of a trial that names its folder
_ALIVE = "alive"  # the one that says when its worker last gave a sign of life
_OPEN = (TrialState.WAITING, TrialState.RUNNING)


class Point(NamedTuple):
    """One fit of a sweep."""

    folder: str
    """Where it writes, relative to the sweep's folder."""
    options: Mapping[str, str]
    """Options of fit by name."""


Report = Callable[[Point, Mapping[str, float]], None]
"""What is told of a point: that it is done, and the accuracies it ended with."""


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
        InputError: fit refused its options.
    """
    queue = _Queue(study, {point.folder: point for point in points})
    queue.fill()

    def work() -> None:
        for point, trial in queue:
            try:
                with _signs_of_life(trial):
                    measured = last_accuracies(fit(folder / point.folder, words, point.options))
            except FitFailed:
                _tell(study, trial, TrialState.FAIL)
            except BaseException:
                queue.closed = True
                _tell(study, trial, TrialState.FAIL)
                raise
            else:
                trial.set_user_attr("measured", measured)
                _tell(study, trial, TrialState.COMPLETE)
                report(point, measured)

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    return queue.failed()


class _Queue:
    """The points that wait, one after the other, until all are done here or elsewhere."""

    def __init__(self, study: optuna.Study, points: Mapping[str, Point]) -> None:
        self.study = study
        self.points = points
        self.closed = False
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Queues the points that are neither done, nor waiting, nor with a worker."""
        known = {_name(trial) for trial in self._trials((*_OPEN, TrialState.COMPLETE))}
        for name in self.points:
            if name not in known:
                self.study.enqueue_trial({}, user_attrs={_POINT: name, **self.points[name].options})

    def __iter__(self) -> Iterator[tuple[Point, Trial]]:
        while not self.closed and self._open():
            with self._lock:
                trial = self.study.ask() if self._trials((TrialState.WAITING,)) else None
            if trial is None:
                time.sleep(HEARTBEAT / 10)  # the rest is with workers: soon done, or for us to take over
            elif _name(trial) in self.points and not self._taken_before(trial):
                yield self.points[_name(trial)], trial
            else:
                _tell(self.study, trial, TrialState.PRUNED)

    def failed(self) -> list[Point]:
        """The points that are not done."""
        done = {_name(trial) for trial in self._trials((TrialState.COMPLETE,))}
        return [point for name, point in self.points.items() if name not in done]

    def _open(self) -> bool:
        """Whether a point waits or runs; one whose worker died waits again."""
        for trial in self._trials((TrialState.RUNNING,)):
            if time.time() - _alive(trial) > 6 * HEARTBEAT:
                with suppress(UpdateFinishedTrialError, ValueError):  # another worker was faster
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    self.study.enqueue_trial({}, user_attrs={**trial.user_attrs, _ALIVE: 0.0})
        return any(_name(trial) in self.points for trial in self._trials(_OPEN))

    def _taken_before(self, trial: Trial) -> bool:
        """Whether an earlier trial does or did this point: two workers that start at once both queue it."""
        others = self._trials((TrialState.RUNNING, TrialState.COMPLETE))
        return any(other.number < trial.number and _name(other) == _name(trial) for other in others)

    def _trials(self, states: Sequence[TrialState]) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=tuple(states))


@contextmanager
def _signs_of_life(trial: Trial) -> Iterator[None]:
    """Within this context other workers see that this trial's one is alive."""
    over = threading.Event()

    def show() -> None:
        while True:
            trial.set_user_attr(_ALIVE, time.time())
            if over.wait(HEARTBEAT):
                return

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
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


def _alive(trial: FrozenTrial) -> float:
    """When its worker last gave a sign of life, or else took it; seconds as of `time.time`."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return max(begun, float(trial.user_attrs.get(_ALIVE, 0.0)))
