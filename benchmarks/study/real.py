"""The study on a real model and real texts: what forget text in retain rows costs, and what RNA and mixing give back.

`python -m benchmarks.study.real smollm2-rmu --pretrained FOLDER --forget FILE --retain FILE --topic NAME` runs what is
not done, and writes the table and the figure of that model and topic. Forgetting is the NLL of held-out forget rows.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.real_settings import EVERY, SHARES, SPANS, STUDIES, points
from benchmarks.study.running import run_missing, with_table
from benchmarks.study.settings import RepairOrControl, Setting
from lit_unlearn.commands.report import compare, load, markdown
from lit_unlearn.commands.report.forgetting import NLL
from lit_unlearn.commands.report.forgetting_robustness import front, insertion_fronts
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.style import encoded
from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import write_whole

PAGE = Path("docs/results-real.md")


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes table and figure.

    Raises:
        InputError: there is no such row, or the page has no place for the table.
        SystemExit: a fit failed.
    """
    options = _parser().parse_args(words)
    setting = STUDIES[options.study]._replace(seeds=options.seeds)
    rows = _wanted(setting, options.only)
    name = f"{setting.folder}-{options.topic}"
    title = f"{setting.title}; topic: {options.topic}"
    with_table(options.page.read_text(encoding="utf-8"), name, title, "")  # refused before anything runs
    out = options.out or Path("runs") / name
    shared = [
        "-c",
        setting.options["config"],
        *(["-c", str(options.overlay.absolute())] if options.overlay else []),
        "--model.pretrained",
        options.pretrained,
        "--data.holdout",
        str(options.holdout),
    ]
    for stream, path in (("forget", options.forget), ("retain", options.retain)):
        shared += [f"--data.{stream}", f"{{{options.topic}: {{path: {path.absolute()}, max_length: 96}}}}"]
    scored, spans = options.scored or options.holdout, options.spans
    wanted = [*points(setting, rows, rise=options.rise, scored=scored, spans=spans, every=options.every)]
    run_missing(
        out, [*shared, "--model.answer_store", str(out / "answers")], wanted, kind=name, workers=options.workers
    )
    models = named(setting, rows, out)
    compared = compare(models, NLL, shares=len(SHARES))
    text = options.page.read_text(encoding="utf-8")  # hours later, maybe with other tables
    write_whole(options.page, with_table(text, name, title, f"### {title}\n\n{markdown(models, compared)}"))
    write_whole(options.page.with_name(f"{name}.png"), encoded(front(insertion_fronts(models, compared)), "png"))
    print(f"{options.page} and {name}.png show {out}")


def named(setting: Setting, rows: Sequence[RepairOrControl], out: Path) -> list[ReportedModel]:
    """The base and the models of all rows, by their titles; of the method also those on its way and between.

    Args:
        setting: the method.
        rows: its repairs and controls.
        out: folder of the fits.
    """
    method = out / "method"
    steps = _common_steps(load([str(method)])[1])
    titles = {
        str(method): setting.title.partition(" ")[0],
        **{str(out / row.folder): row.title for row in rows},
        **{f"{method}@step={step}": f"stopped after {step} steps" for step in steps},
        **{f"{method}@interpolation={share}": f"base + {share} · (unlearned − base)" for share in SHARES},
    }
    base, *others = load([*titles], method=str(method))
    return [base, *(model._replace(name=title) for model, title in zip(others, titles.values(), strict=True))]


def _common_steps(method: ReportedModel) -> list[int]:
    """The steps on the way at which every seed was evaluated before it ended."""
    reached = [
        {one["step"] for one in found["evaluations"] if 0 < one["step"] < found["evaluations"][-1]["step"]}
        for found in method.results
    ]
    return sorted(set.intersection(*reached))


def _wanted(setting: Setting, only: Sequence[str] | None) -> list[RepairOrControl]:
    names = [row.folder for row in setting.rows]
    if unknown := [name for name in only or () if name not in names]:
        raise InputError(f"--only: there is no {unknown[0]}; choose from {', '.join(names)}")
    return [row for row in setting.rows if only is None or row.folder in only]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Run the study on a real model and real texts, and write its table.")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--pretrained", required=True, help="hub name or folder of the model")
    parser.add_argument("--forget", type=Path, required=True, help="texts of the topic, the last of which are held out")
    parser.add_argument("--retain", type=Path, required=True, help="other texts, the last of which are held out")
    parser.add_argument("--topic", required=True, help="name of the topic, in one word")
    parser.add_argument("--holdout", type=int, default=64, help="rows of each file that are held out and evaluated on")
    parser.add_argument("--overlay", type=Path, help="config of `lit-unlearn scale`, given after the study's own")
    parser.add_argument("--scored", type=int, help="held-out rows into which is inserted; all if not given")
    parser.add_argument("--spans", nargs="+", default=[*SPANS], help="what is inserted: word, sentence, or tokens")
    parser.add_argument("--every", type=int, default=EVERY, help="steps between evaluations on the way; 0: none")
    parser.add_argument("--rise", type=float, default=1.2, help="nats per token of held-out forget rows to stop at")
    parser.add_argument("--seeds", type=int, default=5, help="fits of each row")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="repairs and controls; all if not given")
    parser.add_argument("--out", type=Path, help="folder of the runs, runs/STUDY-TOPIC if not given; resumes")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose table is replaced")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    return parser


if __name__ == "__main__":
    main()
