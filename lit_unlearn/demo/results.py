"""The tables of docs/results.md: every method, with and without its repairs, over seeds, on fresh questions.

`make results` runs it: each row is a fit by the shipped configs, and done ones are not repeated.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lit_unlearn.demo.settings import SETTINGS, Setting
from lit_unlearn.errors import InputError
from lit_unlearn.report import load, markdown
from lit_unlearn.report.table import cell
from lit_unlearn.sweep import Progress
from lit_unlearn.sweep.grid import Point, run_points
from lit_unlearn.sweep.study import open_study
from lit_unlearn.whole import write_whole

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
CHOOSE, REPORT = 1, 2
"""Draws of the questions: on the first, steps and shares of the controls are chosen; the second is reported."""
CHOOSING_SEED = 5
"""No setting has so many seeds that this is among the reported."""
EVERY = 25
"""Steps after which the run on the choosing draw is evaluated, from which early stopping is read; divides all steps."""
FORGOTTEN = 0.3
_ROBUSTNESS = "PerturbationRobustness"


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes the tables.

    Raises:
        InputError: the page has no place for a table.
        SystemExit: a fit failed.
    """
    parser = argparse.ArgumentParser(description="Run the study of docs/results.md and write its tables.")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/results"), help="folder of the runs; goes on where it was"
    )
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="page whose tables are replaced")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    names = [setting.folder for setting in SETTINGS]
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=names, choices=names, help=f"of {', '.join(names)}"
    )
    options = parser.parse_args(words)
    wanted = [setting for setting in SETTINGS if setting.folder in options.only]
    for setting in wanted:
        _replaced(options.page.read_text(encoding="utf-8"), setting, "")  # refused before anything runs
    _run(options.out, [choosing(setting) for setting in wanted], options.workers)
    _run(options.out, [point for setting in wanted for point in reported(setting, options.out)], options.workers)
    for setting in wanted:
        page = options.page.read_text(encoding="utf-8")  # hours later, maybe with other tables
        write_whole(options.page, _replaced(page, setting, section(setting, options.out)))
    print(f"The tables of {options.page} are those of {options.out}")


def choosing(setting: Setting) -> Point:
    """The fit on the choosing draw, evaluated on the way and between base and unlearned model."""
    followed = {"trainer.val_check_interval": str(EVERY), "trainer.callbacks": _callbacks(SHARES)}
    return _point(setting, f"choose/seed-{CHOOSING_SEED}", followed, draw=CHOOSE, seed=CHOOSING_SEED)


def reported(setting: Setting, runs: Path) -> Iterator[Point]:
    """The fits on the reported draw: the method, its repairs and controls, and the method stopped early."""
    step, share = chosen(setting, runs)
    plain = {"trainer.callbacks": f"[{_ROBUSTNESS}]", "trainer.val_check_interval": str(setting.steps)}
    stopped = {"trainer.max_steps": str(step), "trainer.val_check_interval": str(step)}
    fits = {
        "method": plain | {"trainer.callbacks": _callbacks([share])},
        **{row.folder: plain | row.options for row in setting.rows},
        f"stopped-{step}": plain | stopped,
    }
    for name, own in fits.items():
        for seed in range(setting.seeds):
            yield _point(setting, f"{name}/seed-{seed}", own, draw=REPORT, seed=seed)


def chosen(setting: Setting, runs: Path) -> tuple[int, float]:
    """The first step and the first share at which the fit on the choosing draw has forgotten; else the last."""
    run = f"{runs / setting.folder / 'choose'}"
    steps = range(EVERY, setting.steps + 1, EVERY)
    step = next((one for one in steps if _forgot(f"{run}@step={one}")), steps[-1])
    share = next((one for one in SHARES if _forgot(f"{run}@interpolation={one}")), SHARES[-1])
    return step, share


def section(setting: Setting, runs: Path) -> str:
    """A setting's table."""
    step, share = chosen(setting, runs)
    rows = {
        "method": setting.method,
        **{row.folder: row.title for row in setting.rows},
        f"stopped-{step}": f"stopped after {step} steps",
        f"method@interpolation={share}": f"base + {share} · (unlearned − base)",
    }
    base, *others = load([str(runs / setting.folder / name) for name in rows])
    named = [model._replace(name=title) for model, title in zip(others, rows.values(), strict=True)]
    return f"### {setting.title}\n\n{markdown([base, *named])}"


def _run(folder: Path, wanted: Sequence[Point], workers: int) -> None:
    """Runs the fits that are not done.

    Raises:
        SystemExit: some failed.
    """
    shared = ["--trainer.enable_progress_bar", "false"]
    told = Progress(len(wanted))
    failed = run_points(
        open_study(folder, shared, kind="the study of docs/results.md"),
        folder,
        shared,
        wanted,
        workers=workers,
        report=lambda point, measured: told(point.folder, measured),
    )
    if failed:
        raise SystemExit(f"{len(failed)} fits failed; see {folder / failed[0].folder}.log")


def _callbacks(shares: Sequence[float]) -> str:
    return f"[{_ROBUSTNESS}, {{class_path: Interpolation, init_args: {{shares: {[*shares]}}}}}]"


def _forgot(run: str) -> bool:
    return cell(load([run])[1], "forget").value <= FORGOTTEN


def _point(setting: Setting, folder: str, own: Mapping[str, str], *, draw: int, seed: int) -> Point:
    options = {**setting.options, "trainer.max_steps": str(setting.steps), **own}
    return Point(f"{setting.folder}/{folder}", options | {"data.draw": str(draw), "seed_everything": str(seed)})


def _replaced(page: str, setting: Setting, table: str) -> str:
    """The page with another table of a setting.

    Raises:
        InputError: the page has no place for it.
    """
    begin, end = (f"<!-- {word}: {setting.folder} -->" for word in ("begin", "end"))
    if begin not in page or end not in page:
        raise InputError(f"--page: there is no place for {setting.title}; write {begin} and {end}, each on a line")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{table}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    main()
