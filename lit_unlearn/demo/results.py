"""The tables of docs/results.md: every method, with and without its repairs, over seeds, on fresh questions.

`make results` runs it: each row is a fit by the shipped configs, and done ones are not repeated.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lit_unlearn.report import load, markdown
from lit_unlearn.report.table import cell
from lit_unlearn.sweep import Progress
from lit_unlearn.sweep.grid import Point, run_points
from lit_unlearn.sweep.study import open_study
from lit_unlearn.whole import write_whole

SEEDS = 5
NOISE = (0.5, 1.5, 4.0)
"""2.4, 7 and 19 times the root mean square of a dimension of the hidden states, 0.21."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
CHOOSE, REPORT = 1, 2
"""Draws of the questions: on the first, steps and shares of the controls are chosen; the second is reported."""
FORGOTTEN = 0.3
STEPS = range(25, 301, 25)
"""Where the run on the choosing draw is evaluated, from which early stopping is read."""
_BEGIN, _END = "<!-- begin: make results -->", "<!-- end: make results -->"
_ROBUSTNESS = "PerturbationRobustness"


class Setting(NamedTuple):
    """A method and what it trains."""

    title: str
    folder: str
    config: str
    lr: float
    options: dict[str, str]


_OUTPUTS = {"model.trainable": r'["model\\.layers\\.[012]\\.mlp\\.down_proj\\.weight"]'}
SETTINGS = (
    Setting("RMU, all matrices", "rmu-all", "demo.yaml", 3e-4, {}),
    Setting("Adaptive RMU, all matrices", "adaptive-rmu-all", "demo_adaptive_rmu.yaml", 3e-4, {}),
    Setting("RSV, all matrices", "rsv-all", "demo_rsv.yaml", 3e-4, {}),
    Setting(
        "RMU, MLP outputs only", "rmu-mlp", "demo.yaml", 2e-3, _OUTPUTS | {"model.forget.init_args.coefficient": "7"}
    ),
)


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes the tables.

    Raises:
        InputError: a fit failed.
    """
    parser = argparse.ArgumentParser(description="Run the study of docs/results.md and write its tables.")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/results"), help="folder of the runs; goes on where it was"
    )
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="page whose tables are replaced")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    options = parser.parse_args(words)
    _run(options.out, [choosing(setting) for setting in SETTINGS], options.workers)
    _run(options.out, [point for setting in SETTINGS for point in reported(setting, options.out)], options.workers)
    text = "\n".join(section(setting, options.out) for setting in SETTINGS)
    _replace(options.page, text)
    print(f"The tables of {options.page} are those of {options.out}")


def choosing(setting: Setting) -> Point:
    """The fit on the choosing draw, evaluated on the way and between base and unlearned model."""
    followed = {"trainer.val_check_interval": str(STEPS[0]), "trainer.callbacks": _callbacks(SHARES)}
    return _point(setting, f"choose/seed-{SEEDS}", followed, draw=CHOOSE, seed=SEEDS)


def reported(setting: Setting, runs: Path) -> Iterator[Point]:
    """The fits on the reported draw: the method, with noise, at half the learning rate, stopped early."""
    step, share = chosen(setting, runs)
    plain = {"trainer.callbacks": f"[{_ROBUSTNESS}]"}
    rows = {
        "method": {"trainer.callbacks": _callbacks([share])},
        **{f"noise-{noise}": plain | {"model.noise_scale": str(noise)} for noise in NOISE},
        "half-lr": plain | {"model.optimizer.lr": str(setting.lr / 2)},
        f"stopped-{step}": plain | {"trainer.max_steps": str(step), "trainer.val_check_interval": str(step)},
    }
    for name, own in rows.items():
        for seed in range(SEEDS):
            yield _point(setting, f"{name}/seed-{seed}", own, draw=REPORT, seed=seed)


def chosen(setting: Setting, runs: Path) -> tuple[int, float]:
    """The first step and the first share at which the fit on the choosing draw has forgotten; else the last."""
    run = f"{runs / setting.folder / 'choose'}"
    step = next((one for one in STEPS if _forgot(f"{run}@step={one}")), STEPS[-1])
    share = next((one for one in SHARES if _forgot(f"{run}@interpolation={one}")), SHARES[-1])
    return step, share


def section(setting: Setting, runs: Path) -> str:
    """A setting's table."""
    step, share = chosen(setting, runs)
    rows = {
        "method": setting.title.partition(",")[0],
        **{f"noise-{noise}": f"+ RNA, ν {noise}" for noise in NOISE},
        "half-lr": "half the learning rate",
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
    options = {"config": setting.config, "model.optimizer.lr": str(setting.lr), **setting.options, **own}
    return Point(f"{setting.folder}/{folder}", options | {"data.draw": str(draw), "seed_everything": str(seed)})


def _replace(page: Path, tables: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    write_whole(page, f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}")


if __name__ == "__main__":
    main()
