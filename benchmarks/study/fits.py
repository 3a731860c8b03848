"""The fits of a study on the demo world, as points of a sweep."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.study.settings import SHARES, Candidate, Setting
from lit_unlearn.commands.report import load
from lit_unlearn.commands.report.cells import cell
from lit_unlearn.commands.report.forgetting import TEXT, measured
from lit_unlearn.commands.report.runs import forget_sets
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.runs import layout

CHOOSE, REPORT = 1, 2
"""Draws of the questions: on the first, steps and shares of the controls are chosen; the second is reported."""
CHOOSING_SEED = 5
"""Which is none of those that are reported."""
EVERY = 25
"""Steps after which the run on the choosing draw is evaluated, from which early stopping is read; divides all steps."""
FORGOTTEN = 0.3
_ROBUSTNESS = "PerturbationRobustness"


def choosing(setting: Setting) -> Point:
    """The fit on the choosing draw, evaluated on the way and between base and unlearned model."""
    followed = {
        "trainer.val_check_interval": str(EVERY),
        "trainer.callbacks": _callbacks(
            SHARES, _repairs(one for kind in setting.weight_repairs for one in kind.candidates)
        ),
        "data.perturbations": "{}",
    }
    return _point(setting, f"choose/seed-{CHOOSING_SEED}", followed, draw=CHOOSE, seed=CHOOSING_SEED)


def reported(setting: Setting, results: Path) -> Iterator[Point]:
    """The fits on the reported draw: the method, its repairs and controls, and the method stopped early.

    Args:
        setting: what is compared.
        results: folder of the study's results, with those on the choosing draw.
    """
    step, share = chosen(setting, results)
    exported = ["ExportPretrained"] if setting.relearns else []
    plain = {
        **setting.asked,
        "trainer.callbacks": f"[{', '.join([_ROBUSTNESS, *exported])}]",
        "trainer.val_check_interval": str(setting.steps),
    }
    stopped = {"trainer.max_steps": str(step), "trainer.val_check_interval": str(step)}
    repairs = _repairs(one for _, one in chosen_repairs(setting, results))
    fits = {
        "method": plain | {"trainer.callbacks": _callbacks(sorted({*setting.curve, share}), repairs, *exported)},
        **{row.folder: plain | row.options for row in setting.rows},
        **({f"stopped-{step}": plain | stopped} if setting.stops else {}),
    }
    seeds = [seed for seed in range(setting.seeds + 1) if seed != CHOOSING_SEED][: setting.seeds]
    for name, own in fits.items():
        for seed in seeds:
            yield _point(setting, f"{name}/seed-{seed}", own, draw=REPORT, seed=seed)


def relearning(setting: Setting, results: Path, runs: Path) -> Iterator[Point]:
    """The fits that learn a few forget rows again, each from the export of a reported fit.

    Args:
        setting: what is compared.
        results: folder of the study's results.
        runs: folder in which the fits write.
    """
    for point in reported(setting, results) if setting.relearns else ():
        name = point.folder.removeprefix(f"{setting.folder}/")
        options = {"config": "demo_relearn.yaml", "model.pretrained": str(runs / point.folder / layout.EXPORT)}
        shared = {name: point.options[name] for name in ("data.draw", "seed_everything")}
        yield Point(f"{setting.folder}/relearn/{name}", options | shared)


def chosen(setting: Setting, results: Path) -> tuple[int, float]:
    """The first step and the first share at which the fit on the choosing draw has forgotten; else the last."""
    run = f"{results / setting.folder / 'choose'}"
    steps = range(EVERY, setting.steps + 1, EVERY)
    step = next((one for one in steps if _forgot(f"{run}@step={one}")), steps[-1])
    share = next((one for one in SHARES if _forgot(f"{run}@interpolation={one}")), SHARES[-1])
    return step, share


def chosen_repairs(setting: Setting, results: Path) -> list[tuple[str, Candidate]]:
    """Of each kind of repair of the weights, its title and the strongest that forgets as much as interpolation does.

    Forgetting is the log-probability of the right answers' texts on the choosing draw, which has no floor, and
    interpolation the share that `chosen` gives. Where all forget less, the weakest.
    """
    if not setting.weight_repairs:
        return []
    run = f"{results / setting.folder / 'choose'}"
    limit = _logprob(f"{run}@interpolation={chosen(setting, results)[1]}")
    return [
        (
            kind.title,
            next(
                (one for one in reversed(kind.candidates) if _logprob(f"{run}@repair={one.name}") <= limit),
                kind.candidates[0],
            ),
        )
        for kind in setting.weight_repairs
    ]


def fitted(setting: Setting, step: int) -> dict[str, str]:
    """Titles of the rows that are fits of their own, by folder."""
    rows = {row.folder: row.title for row in setting.rows}
    stopped = {f"stopped-{step}": f"stopped after {step} steps"} if setting.stops else {}
    return {"method": setting.method, **rows, **stopped}


def _callbacks(shares: Sequence[float], *others: str) -> str:
    between = f"{{class_path: Interpolation, init_args: {{shares: {[*shares]}}}}}"
    return f"[{', '.join([_ROBUSTNESS, between, *filter(None, others)])}]"


def _repairs(candidates: Iterable[Candidate]) -> str:
    """The callback that evaluates them; empty for none."""
    options = [one.options for one in candidates]
    return json.dumps({"class_path": "Repairs", "init_args": {"repairs": options}}) if options else ""


def _forgot(run: str) -> bool:
    return cell(load([run])[1], "forget").value <= FORGOTTEN


def _logprob(run: str) -> float:
    """Mean log-probability of the right answers' texts on questions to forget."""
    models = load([run])
    numbers = measured(models[1].records, TEXT, forget_sets(models))
    assert numbers is not None  # the demo's questions have texts
    return float(numbers.mean())


def _point(setting: Setting, folder: str, own: Mapping[str, str], *, draw: int, seed: int) -> Point:
    options = {**setting.options, "trainer.max_steps": str(setting.steps), **own}
    return Point(f"{setting.folder}/{folder}", options | {"data.draw": str(draw), "seed_everything": str(seed)})
