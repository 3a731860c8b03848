"""The tables and the picture of a study on the demo world."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.fits import chosen, chosen_repairs, fitted
from benchmarks.study.kept import comparable, seeds
from benchmarks.study.settings import Setting
from lit_unlearn.commands.report import compare, load, markdown
from lit_unlearn.commands.report.cells import cell, shown
from lit_unlearn.commands.report.forgetting import NLL, TEXT
from lit_unlearn.commands.report.forgetting_robustness import Front, Placed, front, fronts
from lit_unlearn.commands.report.repair import repair_shown
from lit_unlearn.commands.report.runs import ReportedModel, retained
from lit_unlearn.commands.report.style import encoded
from lit_unlearn.commands.report.table import compact, forgetting_columns, seeds_legend
from lit_unlearn.runs.tables import markdown_table

RELEARNT = (0, 10, 20, 30, 60)
"""Steps of benign relearning that a table shows."""
NOT_RUN = "Not run yet: "
"""Before the titles of rows without results."""


def section(setting: Setting, results: Path) -> str:
    """A setting's tables, of those rows of which there are as many seeds as of the method, and which others there are.

    Args:
        setting: what is compared.
        results: folder of the study's results.
    """
    if not run(setting, results):
        every = [setting.method, *(row.title for row in setting.rows)]
        return f"### {setting.title}\n\n{NOT_RUN}{'; '.join(every)}.\n"
    models = named(setting, results)
    others = [row.title for row in setting.rows if row.title not in {model.name for model in models}]
    not_run = [f"{NOT_RUN}{'; '.join(others)}.\n"] if others else []
    parts = _compact(models, setting) if setting.tables else [markdown(models, compare(models, NLL))]
    if setting.weight_repairs:
        parts.append(_beyond(models))
    if setting.relearns:
        parts.append(_relearnt(setting, results))
    return "\n".join([f"### {setting.title}\n", *not_run, *parts])


def run(setting: Setting, results: Path) -> bool:
    """Whether there are results of the method, with which rows are compared.

    Args:
        setting: what is compared.
        results: folder of the study's results.
    """
    return bool(seeds(results / setting.folder / "method"))


def named(setting: Setting, results: Path) -> list[ReportedModel]:
    """The base and the models of a setting's rows, by their titles."""
    step, share = chosen(setting, results)
    fits = fitted(setting, step)
    rows = {
        **{name: fits[name] for name in comparable(results / setting.folder, [*fits])},
        f"method@interpolation={share}": f"base + {share} · (unlearned − base)",
        **{f"method@repair={one.name}": f"{kind}, {one.strength}" for kind, one in chosen_repairs(setting, results)},
    }
    paths = [str(results / setting.folder / name) for name in rows]
    base, *others = load(paths, method=paths[0])
    return [base, *(model._replace(name=title) for model, title in zip(others, rows.values(), strict=True))]


def picture(settings: Sequence[Setting], results: Path) -> bytes:
    """Of each setting that has been run, forgetting against accuracy on all perturbed questions to retain."""
    done = [setting for setting in settings if run(setting, results)]
    return encoded(front([_panel(setting, named(setting, results)) for setting in done]), "png")


def _panel(setting: Setting, models: Sequence[ReportedModel]) -> Front:
    perturbed, _ = fronts(models, compare(models, NLL))
    _, method, *others = perturbed.points
    points: dict[str, Placed] = {"the method alone": perturbed.points[method]}
    points |= {_label(name): perturbed.points[name] for name in others}
    return perturbed._replace(title=setting.title, points=points)


def _compact(models: Sequence[ReportedModel], setting: Setting) -> list[str]:
    """Accuracies, then forgetting on measures without a floor where there are any."""
    tables = [compact(models, variants) for variants in setting.tables]
    parts = [*tables, f"{seeds_legend(models)} In brackets: under the control.\n"]
    if columns := forgetting_columns(models):
        rows = [[model.name, *row] for model, *row in zip(models, *columns.values(), strict=True)]
        parts.append(f"{markdown_table(['model', *columns], rows)}\n")
    return parts


def _beyond(models: Sequence[ReportedModel]) -> str:
    """What each row repairs at equal forgetting, or beyond the method's interpolation curve at its own forgetting."""
    variants, compared = retained(models), compare(models, TEXT)
    rows = [
        [model.name, *(repair_shown(row.repairs[variant]) for variant in variants)]
        for model, row in zip(models, compared.rows, strict=True)
        if row.repairs
    ]
    return f"{markdown_table(['repaired, at equal log p of the right texts', *variants], rows)}\n"


def _relearnt(setting: Setting, results: Path) -> str:
    """A table of what is answered after some steps of relearning."""
    heads = ["forget, after relearning", *(f"{step} steps" for step in RELEARNT)]
    rows, relearnt = [], results / setting.folder / "relearn"
    fits = fitted(setting, chosen(setting, results)[0])
    for name in comparable(relearnt, [*fits]):
        begun = [
            load([f"{relearnt / name / seed}@step={step}" for step in RELEARNT])[1:]
            for seed in sorted(seeds(relearnt / name))
        ]
        # Each seed began with another model, so that they are no seeds of one run to `load`.
        after = [each[0]._replace(records=[one.records[0] for one in each]) for each in zip(*begun, strict=True)]
        rows.append([fits[name], *(shown(cell(model, "forget")) for model in after)])
    return f"{markdown_table(heads, rows)}\n"


def _label(title: str) -> str:
    """A row's title without the numbers in which settings differ."""
    if title.startswith("base + "):
        return "between base and unlearned"
    return "stopped early" if title.startswith("stopped") else title.partition(", ν")[0]
