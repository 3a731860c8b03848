"""Tables, figures and a page of finished runs: `lit-unlearn report RUN...`."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.report.forgetting import MEASURES, NLL, TEXT
from lit_unlearn.commands.report.repair import Comparison, compare
from lit_unlearn.commands.report.runs import ReportedModel, load
from lit_unlearn.commands.report.table import as_json, markdown
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import check_makable, write_whole
from lit_unlearn.runs.credentials import masked

__all__ = ["as_json", "compare", "load", "main", "markdown"]


def main(words: Sequence[str]) -> None:
    """Prints the table and writes report.html, report.md, report.json and figures as .png and .svg: accuracy, excess.

    Raises:
        InputError: a folder holds no finished run or no section, runs were asked different questions, or a package is
            not installed.
    """
    options = _parser().parse(words)
    check_makable(options.out, "report.out")
    models = load(options.runs, method=options.method)
    chosen = options.forgetting or (TEXT if models[0].variants else NLL).name
    compared = compare(models, MEASURES[chosen])
    files = _files(models, compared, options.include, shlex.join(["lit-unlearn", "report", *words]))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"report.out: {options.out} cannot be a folder ({error.strerror}); give another") from error
    for name, content in files.items():
        write_whole(options.out / name, content)
    print(markdown(models, compared))
    if compared.method is None:
        print("--method RUN says which run is the method, and gives the recovery of the others.")
    beside = ", ".join(name for name in files if not name.endswith((".svg", ".html")))
    print(f"Open {options.out / layout.REPORT_PAGE}; beside it are {beside}.")


def _files(
    models: Sequence[ReportedModel], compared: Comparison, include: Sequence[Path], command: str
) -> dict[str, str | bytes]:
    """What is written, by name: all of it is made before anything is.

    Raises:
        InputError: a folder to include holds no section, or a package is not installed.
    """
    try:
        from lit_unlearn.commands.report import answers, harness_scores, included_analyses
        from lit_unlearn.commands.report.page import page
        from lit_unlearn.commands.report.pictures import excess, overview
        from lit_unlearn.commands.report.style import encoded
    except ModuleNotFoundError as error:
        if error.name not in ("matplotlib", "jinja2"):
            raise
        raise InputError(f"report: {error.name} is not installed; pip install 'lit-unlearn[report]'") from error
    sections = [*harness_scores.sections(models), *included_analyses.find(models, include)]
    parts = [markdown(models, compared), *answers.as_markdown(models), *(section.markdown for section in sections)]
    accuracies, pictures = overview(models), dict[str, str | bytes]()
    for picture, png, svg in (
        (accuracies, layout.ACCURACY_PNG, layout.ACCURACY_SVG),
        (excess(models, compared), layout.EXCESS_PNG, layout.EXCESS_SVG),
    ):
        if picture is not None:
            (drawing,) = picture.drawings
            pictures |= {png: encoded(drawing.figure, "png"), svg: drawing.svg}
    return {
        layout.REPORT_PAGE: masked(page(models, compared, accuracies, sections, command)),
        layout.REPORT_TEXT: masked("\n".join(parts)),
        layout.REPORT_NUMBERS: json.dumps(as_json(models, compared), indent=1),
    } | pictures


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="lit-unlearn report",
        description="One page of finished runs: tables, figures, generations, analyses, options and commands. A folder "
        "that holds runs of several seeds is one row: their mean, with its 95 % interval.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN[@KEY=VALUE]",
        help="folders of runs. RUN@step=100 is the run after 100 steps, RUN@interpolation=0.8 its weights on "
        "the way from the base, RUN@repair=closed-form-2 its repaired weights",
    )
    parser.add_argument(
        "--method",
        metavar="RUN",
        help="the run that the others repair, one of them or a further one; without it no recovery is stated",
    )
    parser.add_argument(
        "--forgetting",
        choices=MEASURES,
        help="the measure of forgetting at which the method's interpolation curve is read, and which every run must "
        "have: log-probability of the right answer's text or of its letter on forget questions, or NLL of held-out "
        "forget rows (default: text, or nll where there are no questions)",
    )
    parser.add_argument(
        "--include",
        nargs="+",
        type=Path,
        action="extend",
        default=[],
        metavar="FOLDER",
        help="what `lit-unlearn analyse` wrote elsewhere; what is in RUN/analysis/ is there anyway",
    )
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder to write (default: report)")
    return parser
