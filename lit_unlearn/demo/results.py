"""The tables of docs/results.md: every method, with and without its repairs, over seeds, on fresh questions.

`make results` runs it: each row is a fit by the shipped configs, and done ones are not repeated.
"""

import argparse
from collections.abc import Iterator, Sequence
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
_EVERY = 25  # steps between the evaluations from which early stopping is read
_BEGIN, _END = "<!-- begin: make results -->", "<!-- end: make results -->"


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
    Setting(
        "Adaptive RMU, MLP outputs only",
        "adaptive-rmu-mlp",
        "demo_adaptive_rmu.yaml",
        2e-3,
        _OUTPUTS | {"model.forget.init_args.scale": "3.4"},
    ),
    Setting(
        "RSV, MLP outputs only",
        "rsv-mlp",
        "demo_rsv.yaml",
        2e-3,
        _OUTPUTS | {"model.forget.init_args.coefficient": "8"},
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
    wanted = [point for setting in SETTINGS for point in points(setting)]
    shared = ["--trainer.enable_progress_bar", "false"]
    told = Progress(len(wanted))
    failed = run_points(
        open_study(options.out, shared),
        options.out,
        shared,
        wanted,
        workers=options.workers,
        report=lambda point, measured: told(point.folder, measured),
    )
    if failed:
        raise SystemExit(f"{len(failed)} fits failed; see {options.out / failed[0].folder}.log")
    text = "\n".join(section(setting, options.out) for setting in SETTINGS)
    _replace(options.page, text)
    print(f"The tables of {options.page} are those of {options.out}")


def points(setting: Setting) -> Iterator[Point]:
    """The fits of a setting: the method itself, with noise, at half the learning rate; one on the choosing draw."""
    interpolation = f"{{class_path: Interpolation, init_args: {{shares: {[*SHARES]}}}}}"
    followed = {
        "trainer.val_check_interval": str(_EVERY),
        "trainer.callbacks": f"[PerturbationRobustness, {interpolation}]",
    }
    plain = {"trainer.callbacks": "[PerturbationRobustness]"}
    repairs = {
        "method": followed,
        **{f"noise-{noise}": plain | {"model.noise_scale": str(noise)} for noise in NOISE},
        "half-lr": plain | {"model.optimizer.lr": str(setting.lr / 2)},
    }
    shared = {"config": setting.config, "model.optimizer.lr": str(setting.lr), **setting.options}
    for name, own in repairs.items():
        for seed in range(SEEDS):
            yield _point(f"{setting.folder}/{name}/seed-{seed}", shared | own, draw=REPORT, seed=seed)
    yield _point(f"{setting.folder}/choose/seed-{SEEDS}", shared | followed, draw=CHOOSE, seed=SEEDS)


def section(setting: Setting, runs: Path) -> str:
    """A setting's table, the controls chosen where they first forget on the other draw."""
    folder = runs / setting.folder
    step = _first_forgotten(folder, [f"step={step}" for step in range(_EVERY, 301, _EVERY)])
    share = _first_forgotten(folder, [f"interpolation={share}" for share in SHARES] + ["step=300"])
    rows = {
        "method": setting.title.partition(",")[0],
        **{f"noise-{noise}": f"+ RNA, ν {noise}" for noise in NOISE},
        "half-lr": "half the learning rate",
        f"method@{step}": f"stopped at {step.replace('=', ' ')}",
        f"method@{share}": f"{share.replace('=', ' ')}",
    }
    base, *others = load([str(folder / name) for name in rows])
    named = [model._replace(name=title) for model, title in zip(others, rows.values(), strict=True)]
    return f"### {setting.title}\n\n{markdown([base, *named])}"


def _first_forgotten(folder: Path, conditions: Sequence[str]) -> str:
    """The first of the evaluations on the choosing draw that has forgotten, else the last."""
    for condition in conditions:
        if cell(load([f"{folder / 'choose'}@{condition}"])[1], "forget").value <= FORGOTTEN:
            return condition
    return conditions[-1]


def _point(folder: str, options: dict[str, str], *, draw: int, seed: int) -> Point:
    return Point(folder, options | {"data.draw": str(draw), "seed_everything": str(seed)})


def _replace(page: Path, tables: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    write_whole(page, f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}")


if __name__ == "__main__":
    main()
