"""The best point within limits: fits where a sampler expects the most."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna
from optuna.samplers import TPESampler
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_unlearn.commands.sweep.options import Axis, Limit, point_name
from lit_unlearn.commands.sweep.study import FitFailed, Fits, last_measured
from lit_unlearn.errors import InputError

Report = Callable[[str, Mapping[str, float]], None]
"""What is printed of a trial: its folder's name, and the accuracies it ended with."""


def sampler() -> TPESampler:
    """Prefers what keeps the limits of a trial, and among those what scores best."""
    return TPESampler()  # no fixed seed: workers, and a resumed search, would try the same points


def search(
    study: optuna.Study,
    folder: Path,
    words: Sequence[str],
    axes: Mapping[str, Axis],
    *,
    maximize: str,
    limits: Sequence[Limit],
    trials: int,
    seeds: int,
    workers: int,
    report: Report,
) -> None:
    """Fits until there are as many trials as asked for, those of other workers included.

    Args:
        study: of the folder, with `sampler`.
        folder: where the fits write.
        words: options that all fits share.
        axes: the values of each option.
        maximize: the variant whose accuracy is to be high, such as `retain/4-gram`, or another number of
            `last_measured`; with a minus before its name it is to be low.
        limits: bounds on the accuracy of other variants, or on such numbers.
        trials: how many.
        seeds: fits of each trial; accuracies are means over them.
        workers: trials at a time in this process.
        report: called with each trial that is done here.

    Raises:
        InputError: fit refused its options, or nothing measured has the name of the objective or of a limit.
    """
    fits = Fits()

    def objective(trial: Trial) -> float:
        if fits.stopped.is_set():
            raise optuna.TrialPruned
        values = {option: axis.suggest(trial, option) for option, axis in axes.items()}
        name = f"{trial.number:04}-{point_name(values)}"
        found = [
            last_measured(fits(folder / name / f"seed-{seed}", words, values | {"seed_everything": str(seed)}))
            for seed in range(seeds)
        ]
        high = maximize.removeprefix("-")
        for wanted in (high, *(limit.variant for limit in limits)):
            if wanted not in found[0]:
                raise InputError(f"sweep: nothing measured is called {wanted!r}; choose from {', '.join(found[0])}")
        means = {variant: statistics.fmean(one[variant] for one in found) for variant in found[0]}
        trial.set_user_attr("measured", means)
        for limit in limits:
            trial.set_constraint(str(limit), limit.excess(means[limit.variant]))
        report(name, means)
        return -means[high] if maximize.startswith("-") else means[high]

    enough = MaxTrialsCallback(trials, states=(TrialState.COMPLETE,))
    if len(_done(study)) < trials:
        with fits.ending_with_us():
            study.optimize(objective, n_jobs=workers, catch=FitFailed, callbacks=[enough, _give_up])


def best(study: optuna.Study) -> FrozenTrial | None:
    """The trial with the highest objective among those within all limits; None where there is none."""
    within = [trial for trial in _done(study) if max(trial.constraints.values(), default=0.0) <= 0]
    return max(within, key=lambda trial: trial.value or 0.0, default=None)


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    """Five failures in a row are no accident."""
    last = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))[-5:]
    if len(last) == 5 and all(one.state == TrialState.FAIL for one in last):
        raise InputError("sweep: the last five fits failed; see the .log files beside their folders")
