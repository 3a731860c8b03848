"""The report as one page that needs nothing beside it."""

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from lit_unlearn.commands.report import answers, options
from lit_unlearn.commands.report.grid import Group, Table, accuracies, commonest_letters, free_answers, inserted, plain
from lit_unlearn.commands.report.included_analyses import Included
from lit_unlearn.commands.report.inline_svg import inline
from lit_unlearn.commands.report.perturbations import kinds
from lit_unlearn.commands.report.pictures import Picture, pictures
from lit_unlearn.commands.report.repair import Comparison
from lit_unlearn.commands.report.runs import ReportedModel, each_run
from lit_unlearn.commands.report.table import LETTERS_LEGEND, legend

_NAMED = 4
"""Number of runs that are named in the title."""


def page(
    models: Sequence[ReportedModel],
    compared: Comparison,
    overview: Picture | None,
    sections: Sequence[Included],
    command: str,
) -> str:
    """The page as HTML; whatever comes from data is escaped.

    Args:
        models: the base first.
        compared: with the method.
        overview: the figure of all accuracies; None where no questions were asked.
        sections: of analyses.
        command: that makes this page.
    """
    runs = each_run(models)
    differing, shared = options.split(runs)
    perturbations = [variant.partition("/")[2] for variant in models[0].perturbed]
    return _template().render(
        title=_title([run.name for run in runs]),
        command=command,
        version=version("lit-unlearn"),
        method=compared.method.name if compared.method else "",
        accuracies=accuracies(models, compared),
        insertions=inserted(models, compared),
        free_answers=free_answers(models),
        letters=commonest_letters(models),
        letters_legend=LETTERS_LEGEND,
        legend=legend(models, compared),
        overview=overview,
        differing=_beside(runs, differing) if differing else None,
        pictures=list(pictures(models, compared, kinds(perturbations, options.config(runs[0])))),
        prompts=answers.prompts(models),
        sections=sections,
        origins=[options.origin(run) for run in runs],
        shared=plain("Options and versions that all runs share", ["option", "value"], list(shared.items())),
    )


def _template() -> Template:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    style = Markup((folder / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html", globals={"style": style, "inline": _inlining()})


def _inlining() -> Callable[[bytes, str], Markup]:
    """Puts figures into a page, each with ids of its own."""
    numbers = count(1)
    return lambda svg, label: inline(svg, prefix=f"figure-{next(numbers)}", label=label)


def _unbroken(cell: str) -> str:
    """A cell whose numbers break across lines only before ± and brackets."""
    return re.sub(r"(?<=±) (?=\d)|(?<=\d) (?=%)|(?<=\d,) (?=[-−]?\d)", "\N{NO-BREAK SPACE}", cell)


def _beside(runs: Sequence[ReportedModel], differing: dict[str, list[str]]) -> Table:
    rows = list(zip(*differing.values(), strict=True))
    caption = "What differs between the runs, apart from their seeds"
    return Table(caption, "run", [run.name for run in runs], [Group("", list(differing), rows)])


def _title(names: Sequence[str]) -> str:
    return f"Unlearning report: {', '.join(names) if len(names) <= _NAMED else f'{len(names)} runs'}"
