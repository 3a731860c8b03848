"""Finished runs as the models they left, each over one seed or several."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.questions.outcomes import Outcomes
from lit_unlearn.runs import layout

BASE = "base"
INTERPOLATION = "interpolation"


class ReportedModel(NamedTuple):
    """A model of the report: the base, or what a run left, once for each seed."""

    name: str
    outcomes: Sequence[Mapping[str, Outcomes]]
    """Of each seed, answers by variant, as in results.json."""
    folders: Sequence[Path] = ()
    """Of each seed, the run's folder; none for the base."""
    results: Sequence[Mapping[str, Any]] = ()
    """Of each seed, all of results.json; none for the base."""
    path: Path = Path()
    """The folder that was given: the run's, or that of its seeds."""
    condition: str = ""
    """KEY=VALUE of the evaluation that was asked for; empty where it is the last of the trained weights."""

    @property
    def variants(self) -> list[str]:
        """What it was asked."""
        return list(self.outcomes[0])

    @property
    def perturbed(self) -> list[str]:
        """The variants that have a control."""
        return [variant for variant in self.variants if f"{variant}/control" in self.variants]

    @property
    def seeds(self) -> list[int]:
        """The runs' seeds, or their places where results.json does not say."""
        return [int(found.get("seed", place)) for place, found in enumerate(self.results)]

    def correct(self, variant: str) -> Tensor:
        """Right answers to a variant, bool `[seeds, questions]`."""
        return torch.tensor([answers[variant]["correct"] for answers in self.outcomes]).bool()


def load(runs: Sequence[str]) -> list[ReportedModel]:
    """The base, as the first run evaluated it before training, and what each run left.

    Args:
        runs: folders of runs, or of runs of several seeds, each with `@KEY=VALUE` where not the last evaluation is
            meant but the one of which its record has that value. One that is given twice counts once.

    Raises:
        InputError: a folder holds no finished run, or runs were asked different questions.
    """
    asked: list[Mapping[str, Outcomes]] = []
    models = []
    for run in dict.fromkeys(run.rstrip("/") for run in runs):
        given, condition = _parted(run)
        path = Path(given)
        folders = _seeds(path)
        results = [_results(folder) for folder in folders]
        asked += [found["evaluations"][0]["outcomes"] for found in results]
        if any(base != asked[0] for base in asked):
            raise InputError(f"report: {run} began with another model or other questions than {runs[0]}")
        outcomes = [_chosen(found["evaluations"], condition, run)["outcomes"] for found in results]
        name = path.absolute().name + run.removeprefix(given)
        models.append(ReportedModel(name, outcomes, folders, results, path, condition))
    names = [model.name for model in models]
    return [ReportedModel(BASE, asked[:1]), *(_distinct(model, names) for model in models)]


def each_run(models: Sequence[ReportedModel]) -> list[ReportedModel]:
    """The models without the base, one of each run and without its condition."""
    found: dict[tuple[Path, ...], ReportedModel] = {}
    for model in models:
        if model.folders:
            plain = model._replace(name=model.name.removesuffix(f"@{model.condition}"), condition="")
            found.setdefault(tuple(model.folders), plain)
    return list(found.values())


def evaluated(evaluations: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """The records that have a key; those of interpolated weights only where it is asked for."""
    return [record for record in evaluations if key in record and (key == INTERPOLATION) == (INTERPOLATION in record)]


def _distinct(model: ReportedModel, names: Sequence[str]) -> ReportedModel:
    """The model, with its path for a name where another has the same."""
    if names.count(model.name) == 1:
        return model
    return model._replace(name=f"{model.path}{model.name.removeprefix(model.path.absolute().name)}")


def _parted(run: str) -> tuple[str, str]:
    """Folder and KEY=VALUE; an `@` may be part of the folder's name too."""
    given, sign, condition = run.rpartition("@")
    return (given, condition) if sign and re.fullmatch(r"\w+=[^/]+", condition) else (run, "")


def _seeds(path: Path) -> list[Path]:
    """The runs of a folder: itself, or those within."""
    if (path / layout.RESULTS).is_file():
        return [path]
    within = sorted(found.parent for found in path.glob(f"*/{layout.RESULTS}"))
    if not within:
        raise InputError(f"report: {path} holds no {layout.RESULTS}; give folders of runs with PerturbationRobustness")
    return within


def _results(run: Path) -> dict[str, Any]:
    path = run / layout.RESULTS
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        evaluations = found["evaluations"]
        _check(evaluations)
        _ = int(found.get("seed", 0)), {**found.get("hyperparameters", {}), **found.get("versions", {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"report: {path} is not what PerturbationRobustness writes; give folders of its runs"
        ) from error
    if len(evaluations) < 2:
        raise InputError(f"report: {run} was not evaluated before and after training; let the run finish")
    return found


def _check(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Every evaluation has answers to the same questions.

    Raises:
        ValueError: it has not, or another error: it is not even of that form.
    """
    asked = [{variant: one["number"] for variant, one in record["outcomes"].items()} for record in evaluations]
    rights = [one["correct"] for record in evaluations for one in record["outcomes"].values()]
    told = all(isinstance(right, int) for found in rights for right in found)
    if any(not one or one != asked[0] for one in asked) or not told:
        raise ValueError("evaluations of different questions, or of none")


def _chosen(evaluations: Sequence[Mapping[str, Any]], condition: str, run: str) -> Mapping[str, Any]:
    """The last evaluation of the trained weights, or the last of which the record says what is asked for."""
    key, _, value = condition.partition("=")
    told = evaluated(evaluations, key) if condition else evaluated(evaluations[1:], "step")
    matching = [record for record in told if not condition or str(record[key]) == value]
    if not matching:
        there = ", ".join(f"{key}={record[key]}" for record in told)
        raise InputError(
            f"report: {run}: no such evaluation; there {f'are {there}' if there else 'is none of that kind'}"
        )
    return matching[-1]
