"""Finished runs as the models they left, each over one seed or several."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_unlearn.answers import outcomes as answers
from lit_unlearn.errors import InputError
from lit_unlearn.questions.excess import PREFIX
from lit_unlearn.questions.outcomes import INTERPOLATION, LOGPROBS, OTHER_WEIGHTS, Outcomes
from lit_unlearn.runs import layout
from lit_unlearn.runs.results_file import read_results, results_file

BASE = "base"


class ReportedModel(NamedTuple):
    """A model of the report: the base, or what a run left, once for each seed."""

    name: str
    records: Sequence[Mapping[str, Any]]
    """Of each seed, the evaluation: one of those in results.json."""
    folders: Sequence[Path] = ()
    """Of each seed, the run's folder; none for the base."""
    results: Sequence[Mapping[str, Any]] = ()
    """Of each seed, all of results.json; none for the base."""
    path: Path = Path()
    """The folder that was given: the run's, or that of its seeds."""
    condition: str = ""
    """KEY=VALUE of the evaluation that was asked for; empty where it is the last of the trained weights."""
    is_method: bool = False
    """Whether it is the method that the others are to repair."""

    @property
    def outcomes(self) -> list[Mapping[str, Outcomes]]:
        """Of each seed, answers by variant."""
        return [record["outcomes"] for record in self.records]

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


def load(runs: Sequence[str], *, method: str | None = None) -> list[ReportedModel]:
    """The base, as the first run evaluated it before training, the method, where there is one, and the other runs.

    Args:
        runs: folders of runs, or of runs of several seeds, each with `@KEY=VALUE` where not the last evaluation is
            meant but the one of which its record has that value. One that is given twice counts once.
        method: the run that the others are to repair, one of `runs` or a further one.

    Raises:
        InputError: a folder holds no finished run, or two runs of one seed, or runs were asked different questions.
    """
    bases: list[Mapping[str, Any]] = []
    models: list[ReportedModel] = []
    given_first = [method] if method is not None else []
    for run in dict.fromkeys(map(os.path.normpath, [*given_first, *runs])):
        given, condition = _parted(run)
        path = Path(given)
        folders = _seeds(path)
        results = [_results(folder) for folder in folders]
        _check_seeds(folders, results)
        bases += [found["evaluations"][0] for found in results]
        if any(_answers(base) != _answers(bases[0]) for base in bases):
            raise InputError(f"report: {run} began with another model or other questions than {models[0].path}")
        if any(not base["outcomes"] and _rows(base) != _rows(bases[0]) for base in bases):
            raise InputError(
                f"report: {run} was asked other free answers than {models[0].path}; give runs on the same data"
            )
        records = [_chosen(found["evaluations"], condition, run) for found in results]
        name = path.absolute().name + run.removeprefix(given)
        is_method = method is not None and not models
        models.append(ReportedModel(name, records, folders, results, path, condition, is_method))
    names = [model.name for model in models]
    return [ReportedModel(BASE, bases[:1]), *(_distinct(model, names) for model in models)]


def method_of(models: Sequence[ReportedModel]) -> ReportedModel | None:
    """The method that the others are to repair, where one is named."""
    return next((model for model in models if model.is_method), None)


def forget_sets(models: Sequence[ReportedModel]) -> list[str]:
    """The question sets that are to be forgotten, as the first run that names any does; only those that were asked."""
    named: Sequence[str] = next(
        (found["forget"] for model in models for found in model.results if "forget" in found), []
    )
    return [name for name in models[0].variants if name in named]


def retained(models: Sequence[ReportedModel]) -> list[str]:
    """The perturbed variants of what is to be kept."""
    forget = forget_sets(models)
    return [variant for variant in models[0].perturbed if variant.partition("/")[0] not in forget]


def each_run(models: Sequence[ReportedModel]) -> list[ReportedModel]:
    """The models without the base, one of each run and without its condition."""
    found: dict[tuple[Path, ...], ReportedModel] = {}
    for model in models:
        if model.folders:
            plain = model._replace(name=model.name.removesuffix(f"@{model.condition}"), condition="")
            found.setdefault(tuple(model.folders), plain)
    return list(found.values())


def evaluated(evaluations: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """The records that have a key; those of interpolated or repaired weights only where these are asked for.

    Example:
        >>> evaluated([{"step": 9}, {"step": 9, "repair": "closed-form-5"}], "step")
        [{'step': 9}]
    """
    return [record for record in evaluations if key in record and OTHER_WEIGHTS & {*record} == OTHER_WEIGHTS & {key}]


def between(evaluations: Sequence[Mapping[str, Any]]) -> dict[float, Mapping[str, Any]]:
    """The records of one run from the base, 0, over interpolated weights to the unlearned ones, 1; none without them.

    Example:
        >>> list(between([{"step": 0}, {"step": 9}, {"step": 9, "interpolation": 0.5}]))
        [0.0, 0.5, 1.0]
    """
    found = {float(record[INTERPOLATION]): record for record in evaluated(evaluations, INTERPOLATION)}
    if not found:
        return {}
    return dict(sorted({**found, 0.0: evaluations[0], 1.0: evaluated(evaluations, "step")[-1]}.items()))


def _answers(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What was answered to which questions; log-probabilities of the same model differ in their last digits."""
    names = ("number", "correct", "prediction")
    return {variant: [one.get(name) for name in names] for variant, one in record["outcomes"].items()}


def _rows(record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Which free answers were asked for."""
    found = record.get(answers.PREFIX, {}).get("outcomes", {})
    return {name: [one["fingerprint"], one["row"]] for name, one in found.items()}


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
    if results_file(path):
        return [path]
    within = sorted(found for found in path.glob("*") if results_file(found))
    if not within:
        raise InputError(
            f"report: {path} holds no {layout.RESULTS}; give folders of runs with PerturbationRobustness, "
            "LikelihoodRobustness or AnswerEvaluation"
        )
    return within


def _check_seeds(folders: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
    """Runs within one folder are repeats of one fit: two of the same seed are other runs, whose mean says nothing."""
    found: dict[int, Path] = {}
    for folder, told in zip(folders, results, strict=True):
        if "seed" in told and (other := found.setdefault(int(told["seed"]), folder)) is not folder:
            raise InputError(
                f"report: {other} and {folder} have the same seed, {told['seed']}, so that they are not one run over "
                "several seeds; give each folder by itself"
            )


def _results(run: Path) -> dict[str, Any]:
    path = results_file(run) or run / layout.RESULTS
    try:
        found: dict[str, Any] = read_results(path)
        evaluations = found["evaluations"]
        _check(evaluations)
        _ = [str(name) for name in found.get("forget", [])]
        _ = int(found.get("seed", 0)), {**found.get("hyperparameters", {}), **found.get("versions", {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"report: {path} is not what PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation writes; "
            "give folders of their runs"
        ) from error
    if len(evaluations) < 2:
        raise InputError(f"report: {run} was not evaluated before and after training; give a finished run of fit")
    return found


def _check(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Every evaluation has answers to the same questions.

    Raises:
        ValueError: it has not, or another error: it is not even of that form.
    """
    asked = [{variant: one["number"] for variant, one in record["outcomes"].items()} for record in evaluations]
    rights = [one["correct"] for record in evaluations for one in record["outcomes"].values()]
    told = all(isinstance(right, int) for found in rights for right in found)
    others = any(all(part in record for record in evaluations) for part in (PREFIX, answers.PREFIX))
    if any(not (one or others) or one != asked[0] for one in asked) or not told:
        raise ValueError("evaluations of different questions, or of none")
    for record in evaluations:
        _check_numbers(record)


def _check_numbers(record: Mapping[str, Any]) -> None:
    """Whatever was measured of a question or a row is a number of each.

    Raises:
        ValueError: it is not, or another error: it is not even of that form.
    """
    measured = [(one[name], one["number"]) for one in record["outcomes"].values() for name in LOGPROBS if name in one]
    measured += [(one["nll"], one["row"]) for one in record.get("held_out", {}).values()]
    measured += _inserted(record.get(PREFIX))
    for values, numbers in measured:
        if len(values) != len(numbers) or not all(isinstance(value, int | float) for value in values):
            raise ValueError("what was measured is not a number for each question or row")


def _inserted(found: Mapping[str, Any] | None) -> list[tuple[Any, Any]]:
    """What LikelihoodRobustness measured, each with the rows of which it did."""
    if found is None:
        return []
    _ = found["seed"]
    forget, spans = found["outcomes"]["forget"], found["outcomes"]["spans"].values()
    return [(forget["nll"], forget["row"]), *((one[part], one["row"]) for one in spans for part in ("cost", "control"))]


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
