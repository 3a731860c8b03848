"""One table and one figure of finished runs: `lit-unlearn report RUN...`."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.statistics import recovery_rate
from lit_unlearn.whole import write_whole

BASE = "base"


class Model(NamedTuple):
    """A model of the report: the base, or what a run left."""

    name: str
    measured: Mapping[str, Mapping[str, float | None]]
    """Numbers by variant, as in results.json."""
    outcomes: Mapping[str, Mapping[str, list[int]]]
    """Answers by variant, as in results.json."""

    def correct(self, variant: str) -> Tensor:
        """Right answers to a variant, bool `[questions]`."""
        return torch.tensor(self.outcomes[variant]["correct"]).bool()


def main(words: Sequence[str]) -> None:
    """Prints the table and writes report.md, report.json, accuracy.png and accuracy.svg.

    Raises:
        InputError: a folder holds no finished run, or runs were asked different questions.
    """
    parser = argparse.ArgumentParser(
        prog="lit-unlearn report", description="One table and one figure of finished runs."
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, help="folders of runs; the first is the method that others repair"
    )
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder to write (default: report)")
    options = parser.parse_args(words)
    models = load(options.runs)
    draw = _drawing()
    options.out.mkdir(parents=True, exist_ok=True)
    text = markdown(models)
    write_whole(options.out / "report.md", text)
    write_whole(options.out / "report.json", json.dumps(as_json(models), indent=1))
    draw(models, options.out)
    print(text)
    print(f"Open {options.out / 'accuracy.png'} and {options.out / 'report.md'}.")


def load(runs: Sequence[Path]) -> list[Model]:
    """The base, as the first run evaluated it before training, and the last evaluation of each run.

    Raises:
        InputError: a folder holds no finished run, or runs were asked different questions.
    """
    results = [_results(run) for run in runs]
    models = [_model(BASE, results[0]["evaluations"][0])]
    models += [_model(run.name, result["evaluations"][-1]) for run, result in zip(runs, results, strict=True)]
    for model, result in zip(models[1:], results, strict=True):
        if result["evaluations"][0]["outcomes"] != results[0]["evaluations"][0]["outcomes"]:
            raise InputError(f"report: {model.name} began with another model or other questions than {models[1].name}")
    return models


def as_json(models: Sequence[Model]) -> list[dict[str, Any]]:
    """The numbers of every model, and from the third on what it gives back of the second one's loss."""
    return [
        {"name": model.name, "measured": model.measured, "recovery": _recoveries(models, index)}
        for index, model in enumerate(models)
    ]


def markdown(models: Sequence[Model]) -> str:
    """Accuracy in percent with standard errors; for perturbations what the first run lost and each other gives back."""
    variants = list(models[0].measured)
    lines = ["| questions | " + " | ".join(model.name for model in models) + " |", "| --- |" + " --- |" * len(models)]
    for variant in variants:
        lines.append(f"| {variant} | " + " | ".join(_accuracy(model, variant) for model in models) + " |")
    for variant in _perturbed(models[0]):
        lines.append(
            f"| drop beyond control: {variant} | " + " | ".join(_excess(model, variant) for model in models) + " |"
        )
    for variant in _perturbed(models[0]) if len(models) > 2 else []:
        cells = ["", "", *(_recovery(models, index, variant) for index in range(2, len(models)))]
        lines.append(f"| recovery: {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _drawing() -> Callable[[Sequence[Model], Path], None]:
    """The function that draws the figure, before anything is written.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from lit_unlearn.figure import draw
    except ImportError as error:
        raise InputError("report: matplotlib is not installed; pip install 'lit-unlearn[report]'") from error
    return draw


def _results(run: Path) -> dict[str, Any]:
    path = run / "results.json"
    if not path.is_file():
        raise InputError(f"report: {run} holds no results.json; give folders of runs with PerturbationRobustness")
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if len(results["evaluations"]) < 2:
        raise InputError(f"report: {run} was not evaluated before and after training; let the run finish")
    return results


def _model(name: str, evaluation: Mapping[str, Any]) -> Model:
    return Model(name, evaluation["measured"], evaluation["outcomes"])


def _perturbed(model: Model) -> list[str]:
    """The perturbed variants that have a control."""
    return [variant for variant in model.measured if f"{variant}/control" in model.measured]


def _accuracy(model: Model, variant: str) -> str:
    row = model.measured[variant]
    return f"{100 * (row['accuracy'] or 0):.1f} ± {100 * (row['accuracy_error'] or 0):.1f}"


def _excess(model: Model, variant: str) -> str:
    """Accuracy under the control minus accuracy under the perturbation, in points."""
    control, perturbed = (model.measured[name]["accuracy"] or 0 for name in (f"{variant}/control", variant))
    return f"{100 * (control - perturbed):.1f}"


def _recoveries(models: Sequence[Model], index: int) -> dict[str, Any]:
    if index < 2:
        return {}
    base, method, other = models[0], models[1], models[index]
    return {
        variant: recovery_rate(*(model.correct(variant) for model in (base, method, other)))
        for variant in _perturbed(base)
    }


def _recovery(models: Sequence[Model], index: int, variant: str) -> str:
    found = _recoveries(models, index)[variant]
    return "n/a" if found is None else f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"
