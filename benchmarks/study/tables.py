"""The tables and the picture of a study on the demo world."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.study.fits import chosen, fitted
from benchmarks.study.settings import Setting
from lit_unlearn.commands.report import load, markdown
from lit_unlearn.commands.report.forgetting_robustness import Front, Placed, front
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.commands.report.style import encoded
from lit_unlearn.commands.report.table import cell, compact, legend, shown
from lit_unlearn.runs.tables import markdown_table

RELEARNT = (0, 10, 20, 30, 60)
"""Steps of benign relearning that a table shows."""


def section(setting: Setting, runs: Path) -> str:
    """A setting's tables."""
    models = named(setting, runs)
    tables = [compact(models, variants) for variants in setting.tables]
    parts = [*tables, f"{legend(models)} In brackets: under the control.\n"] if tables else [markdown(models)]
    if setting.relearns:
        parts.append(_relearnt(setting, runs))
    return "\n".join([f"### {setting.title}\n", *parts])


def named(setting: Setting, runs: Path) -> list[ReportedModel]:
    """The base and the models of a setting's rows, by their titles."""
    step, share = chosen(setting, runs)
    rows = {
        **fitted(setting, step),
        f"method@interpolation={share}": f"base + {share} · (unlearned − base)",
    }
    base, *others = load([str(runs / setting.folder / name) for name in rows])
    return [base, *(model._replace(name=title) for model, title in zip(others, rows.values(), strict=True))]


def picture(settings: Sequence[Setting], runs: Path) -> bytes:
    """Of each setting, accuracy on questions to forget against that on all perturbed ones to retain."""
    panels = []
    for setting in settings:
        base, *models = named(setting, runs)
        perturbed = [variant for variant in base.perturbed if variant.startswith("retain/")]
        points = {_label(model.name): Placed(cell(model, "forget"), cell(model, *perturbed)) for model in models[1:]}
        method = {"the method alone": Placed(cell(models[0], "forget"), cell(models[0], *perturbed))}
        panels.append(Front(setting.title, method | points))
    return encoded(front(panels), "png")


def _relearnt(setting: Setting, runs: Path) -> str:
    """A table of what is answered after some steps of relearning."""
    heads = ["forget, after relearning", *(f"{step} steps" for step in RELEARNT)]
    rows = []
    for name, title in fitted(setting, chosen(setting, runs)[0]).items():
        folder = runs / setting.folder / "relearn" / name
        begun = [
            load([f"{folder / f'seed-{seed}'}@step={step}" for step in RELEARNT])[1:] for seed in range(setting.seeds)
        ]
        # Each seed began with another model, so that they are no seeds of one run to `load`.
        after = [each[0]._replace(outcomes=[one.outcomes[0] for one in each]) for each in zip(*begun, strict=True)]
        rows.append([title, *(shown(cell(model, "forget")) for model in after)])
    return f"{markdown_table(heads, rows)}\n"


def _label(title: str) -> str:
    """A row's title without the numbers in which settings differ."""
    if title.startswith("base + "):
        return "between base and unlearned"
    return "stopped early" if title.startswith("stopped") else title.partition(", ν")[0]
