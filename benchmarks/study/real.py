"""The study on a real model and real texts: what forget text in retain rows costs, and what RNA and mixing give back.

`python -m benchmarks.study.real smollm2-rmu --pretrained FOLDER --forget FILE --retain FILE --topic NAME` runs what is
not kept, keeps what tables read in `docs/results/smollm2-rmu-NAME`, and writes the table and the figure of all that is
kept there; `smollm2-rmu --topic NAME --tables` writes them alone. Forgetting is the NLL of held-out forget rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.study.digests import digest_of_config, digest_of_file, digest_of_model
from benchmarks.study.kept import FOLDER, KeptFits, comparable
from benchmarks.study.real_questions import LIMIT, Asked, note
from benchmarks.study.real_settings import EVERY, SCALED, SHARES, SPANS, STUDIES, points
from benchmarks.study.running import add_results, run_missing, with_table
from benchmarks.study.settings import RepairOrControl, Setting
from lit_unlearn.cli import refusals
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
        InputError: there is no such row, the page has no place for the table, or what is kept was made otherwise.
        SystemExit: a fit failed.
    """
    parser = _parser()
    options = parser.parse_args(words)
    if not options.tables and None in (options.pretrained, options.forget, options.retain):
        parser.error("--pretrained, --forget and --retain are required, except with --tables")
    if not options.tables and options.study in SCALED and options.overlay is None:
        parser.error(f"--overlay is required for {options.study}: `lit-unlearn scale` writes it (docs/results-real.md)")
    if not options.tables and options.questions == "":
        parser.error("--questions needs files, such as 'mmlu/*_test.csv', except with --tables")
    setting = STUDIES[options.study]._replace(seeds=options.seeds)
    rows = _wanted(setting, options.only)
    name, title = f"{setting.folder}-{options.topic}", f"{setting.title}; topic: {options.topic}"
    if options.questions is not None:
        name, title = f"{name}-questions", f"{title}; with questions"
    with_table(options.page.read_text(encoding="utf-8"), name, title, "")  # refused before anything runs
    results = options.results or FOLDER / name
    if not options.tables:
        runs = options.out or Path("runs") / name
        _run(setting, rows, options, KeptFits(results, runs, _made_with(setting, options)), kind=name)
    models = named(setting, results)
    compared = compare(models, NLL, shares=len(SHARES))
    text = options.page.read_text(encoding="utf-8")  # hours later, maybe with other tables
    table = "\n".join(filter(None, (f"### {title}\n", markdown(models, compared), note(models))))
    write_whole(options.page, with_table(text, name, title, table))
    write_whole(options.page.with_name(f"{name}.png"), encoded(front(insertion_fronts(models, compared)), "png"))
    print(f"{options.page} and {name}.png show {results}")


def _run(
    setting: Setting, rows: Sequence[RepairOrControl], options: argparse.Namespace, kept: KeptFits, *, kind: str
) -> None:
    """Runs what is not kept, and keeps it."""
    scored, asked = options.scored or options.holdout, bool(options.questions)
    wanted = kept.missing(
        points(setting, rows, rise=options.rise, scored=scored, spans=options.spans, every=options.every, asked=asked)
    )
    configs = [setting.options["config"], *([str(options.overlay.absolute())] if options.overlay else [])]
    files = {stream: str(path.absolute()) for stream, path in (("forget", options.forget), ("retain", options.retain))}
    asked_of = {"data.evaluation": _asked(options).option()} if asked else {}
    shared = (
        _options(options, options.pretrained, files) | asked_of | {"model.answer_store": str(kept.runs / "answers")}
    )
    words = [word for config in configs for word in ("-c", config)]
    words += [word for name, value in shared.items() for word in (f"--{name}", value)]
    if wanted:
        run_missing(kept.runs, words, wanted, kind=kind, workers=options.workers)
        kept.keep(wanted)


def _made_with(setting: Setting, options: argparse.Namespace) -> dict[str, str]:
    """What all fits have in common, with digests of the files."""
    files = {"forget": digest_of_file(options.forget), "retain": digest_of_file(options.retain)}
    overlay = {"overlay": digest_of_config(str(options.overlay))} if options.overlay else {}
    shared = _options(options, digest_of_model(options.pretrained), files)
    asked = {"data.evaluation": _asked(options).digest()} if options.questions else {}
    return {"config": setting.options["config"], **overlay, **shared, **asked}


def _asked(options: argparse.Namespace) -> Asked:
    return Asked(options.questions, options.limit)


def _options(options: argparse.Namespace, pretrained: str, files: Mapping[str, str]) -> dict[str, str]:
    """The options of all fits, of a model and the files of two streams."""
    streams = {
        f"data.{name}": f"{{{options.topic}: {{path: {file}, max_length: {options.max_length}}}}}"
        for name, file in files.items()
    }
    return {"model.pretrained": pretrained, "data.holdout": str(options.holdout), **streams}


def named(setting: Setting, results: Path) -> list[ReportedModel]:
    """The base and the models of all rows, by their titles; of the method also those on its way and between.

    Args:
        setting: the method, with its repairs and controls.
        results: folder of the fits' results, of those rows of which there are as many seeds as of the method.
    """
    method = results / "method"
    shown = comparable(results, [row.folder for row in setting.rows])
    steps = _common_steps(load([str(method)])[1])
    titles = {
        str(method): setting.title.partition(" ")[0],
        **{str(results / row.folder): row.title for row in setting.rows if row.folder in shown},
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
    parser.add_argument("--pretrained", help="hub name or folder of the model")
    parser.add_argument("--forget", type=Path, help="texts of the topic, the last of which are held out")
    parser.add_argument("--retain", type=Path, help="other texts, the last of which are held out")
    parser.add_argument("--topic", required=True, help="name of the topic, in one word")
    parser.add_argument("--holdout", type=int, default=64, help="rows of each file that are held out and evaluated on")
    parser.add_argument("--max-length", type=int, default=96, help="tokens of a row at most (default: 96)")
    parser.add_argument("--overlay", type=Path, help="config of `lit-unlearn scale`, given after the study's own")
    parser.add_argument("--scored", type=int, help="held-out rows into which is inserted; all if not given")
    parser.add_argument("--spans", nargs="+", default=[*SPANS], help="what is inserted: word, sentence, or tokens")
    parser.add_argument("--every", type=int, default=EVERY, help="steps between evaluations on the way; 0: none")
    parser.add_argument("--rise", type=float, default=1.2, help="nats per token of held-out forget rows to stop at")
    parser.add_argument("--seeds", type=int, default=5, help="fits of each row")
    parser.add_argument(
        "--questions",
        nargs="?",
        const="",
        metavar="FILES",
        help="files of multiple-choice questions, such as 'mmlu/*_test.csv', asked as cloze with insertions; kept and "
        "shown apart from fits without; with --tables no files are needed",
    )
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"questions at most (default: {LIMIT})")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="repairs and controls; all if not given")
    parser.add_argument("--out", type=Path, help="folder of the runs, runs/STUDY-TOPIC if not given; resumes")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose table is replaced")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    add_results(parser)
    return parser


if __name__ == "__main__":
    with refusals("benchmarks.study.real"):
        main()
