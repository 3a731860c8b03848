"""The study of free answers on the demo world: the metrics of TOFU after five ways to unlearn.

`python -m benchmarks.study.answers` evaluates the retain-only reference, fits what is not kept, keeps what the table
reads in `docs/results/answers`, and writes the table of docs/answers.md from what is kept there. With `--tables`
nothing is run.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.study.kept import FOLDER, KeptFits, comparable, seeds
from benchmarks.study.mixing_settings import SHIPPED, steady
from benchmarks.study.running import add_results, run_missing, with_table
from benchmarks.study.tables import NOT_RUN
from lit_unlearn.cli import main as lit_unlearn
from lit_unlearn.cli import refusals
from lit_unlearn.commands.report import load
from lit_unlearn.commands.report.answer_metrics import metric_parts
from lit_unlearn.commands.report.forgetting import NLL
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.table import forgetting_columns
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole
from lit_unlearn.runs.results_file import read_results
from lit_unlearn.runs.tables import markdown_table

PAGE = Path("docs/answers.md")
NAME = "answers-study"
METHOD, REFERENCE = "rmu", "reference"
"""The row whose seeds all others need, and the folder of the model that never saw the rows to forget."""
_REFERENCE = {"config": "demo_answers.yaml", "model": "demo-retain-only"}
ROWS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    METHOD: ("RMU", {"config": "demo.yaml"}),
    "rna": ("RMU + RNA, ν 1.5", {"config": "demo.yaml", "model.noise_scale": "1.5"}),
    "mixing": ("RMU + mixing", {"config": "demo.yaml", **SHIPPED, **steady(20, 300)}),
    "npo": ("NPO", {"config": "demo_npo.yaml"}),
    "undial": ("UNDIAL, at NPO's settings", {"config": "demo_npo.yaml", "model.forget": "UNDIAL"}),
}
"""Title and options of the fits, by folder."""
_COLUMNS = (
    ("all sets", ("model utility", "forget quality", "membership AUC", "PrivLeak, %")),
    ("forget", ("truth ratio",)),
    ("retain", ("probability",)),
)


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is not kept, then writes the table of all that is.

    Raises:
        InputError: there is no such row, the page has no place for the table, or what is kept was made otherwise.
        SystemExit: a fit failed.
    """
    options = _parser().parse_args(words)
    if unknown := [name for name in options.only or () if name not in ROWS]:
        raise InputError(f"--only: there is no {unknown[0]}; choose from {', '.join(ROWS)}")
    with_table(options.page.read_text(encoding="utf-8"), NAME, "the study of free answers", "")  # refused before all
    kept = KeptFits(options.results or FOLDER / "answers", options.out, {})
    if not options.tables:
        _run(kept, [*_points(options.only or [*ROWS], options.seeds, options.out)], options.workers)
    models = named(kept.folder)
    text = options.page.read_text(encoding="utf-8")
    write_whole(options.page, with_table(text, NAME, "the study of free answers", table(models)))
    print(f"The table of {options.page} is that of {kept.folder}")


def named(results: Path) -> list[ReportedModel]:
    """The base, the reference and the rows of which there are the seeds of the first, by their titles.

    Args:
        results: folder of the study's results.

    Raises:
        InputError: there are none of the reference or of the first row.
    """
    file = results / REFERENCE / layout.KEPT_RESULTS
    if not seeds(results / METHOD) or not file.is_file():
        raise InputError(f"{results} has no results of {METHOD} and of the reference; run the study")
    reference = read_results(file)["evaluations"][-1]
    shown = comparable(results, [*ROWS], method=METHOD)
    base, *others = load([str(results / name) for name in shown])
    titles = [ROWS[name][0] for name in shown]
    rows = [model._replace(name=title) for model, title in zip(others, titles, strict=True)]
    return [base, ReportedModel("`demo-retain-only`", [reference]), *rows]


def table(models: Sequence[ReportedModel]) -> str:
    """Forgetting, utility and forget quality of all models, and which rows have not been run.

    Args:
        models: as `named` gives them.
    """
    parts = dict(metric_parts(models))
    columns = {NLL.head: forgetting_columns(models)[NLL.head]}
    for name, heads in _COLUMNS:
        prefix = "" if name == "all sets" else f"{name}: "
        columns |= {f"{prefix}{head}": parts[name][head] for head in heads}
    rows = [[model.name, *cells] for model, *cells in zip(models, *columns.values(), strict=True)]
    titles = {model.name for model in models}
    others = [title for title, _ in ROWS.values() if title not in titles]
    not_run = f"{NOT_RUN}{'; '.join(others)}.\n\n" if others else ""
    return f"{not_run}{markdown_table(['model', *columns], rows)}\n"


def _points(rows: Sequence[str], count: int, runs: Path) -> Iterator[Point]:
    callback = {
        "class_path": "AnswerEvaluation",
        "init_args": {"max_new_tokens": 2, "reference": str(runs / REFERENCE)},
    }
    for name in rows:
        for seed in range(count):
            own = {"trainer.callbacks": json.dumps([callback]), "seed_everything": str(seed)}
            yield Point(f"{name}/seed-{seed}", {**ROWS[name][1], **own})


def _run(kept: KeptFits, points: Sequence[Point], workers: int) -> None:
    """Runs and keeps what is not kept; the reference once, which all fits are compared with."""
    reference = Point(REFERENCE, _REFERENCE)
    asked = kept.missing([reference])
    missing = kept.missing(points)
    if (asked or missing) and not (kept.runs / REFERENCE / layout.RESULTS).is_file():
        words = ["--model", _REFERENCE["model"], "-c", _REFERENCE["config"]]
        lit_unlearn(["validate", *words, "--trainer.default_root_dir", str(kept.runs / REFERENCE)])
    kept.keep(asked)
    if missing:
        # What the base answers is the same in all.
        run_missing(
            kept.runs, ["--model.answer_store", str(kept.runs / "answers")], missing, kind=NAME, workers=workers
        )
        kept.keep(missing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fit models of the demo world, and write the table of their answers.")
    parser.add_argument("--seeds", type=int, default=5, help="fits of each row")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows; all if not given")
    parser.add_argument("--out", type=Path, default=Path("runs/answers"), help="folder of the runs; resumes there")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose table is replaced")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    add_results(parser)
    return parser


if __name__ == "__main__":
    with refusals("benchmarks.study.answers"):
        main()
