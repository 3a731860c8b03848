"""What changes along training, between the weights, over a sweep and with the length of an n-gram: accuracies by x."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lit_unlearn.commands.report.cells import Cell, cell
from lit_unlearn.commands.report.perturbations import Kind
from lit_unlearn.commands.report.runs import ReportedModel, between, each_run, evaluated

CONTROL = "/control"
_TOGETHER = 4
"""Perturbations that are seen together."""


class Line(NamedTuple):
    """Accuracies of one model on one variant."""

    label: str
    cells: Mapping[float, Cell]
    """By x, ascending."""


class Panel(NamedTuple):
    """Lines to be seen together."""

    title: str
    lines: Sequence[Line]


def over_steps(models: Sequence[ReportedModel]) -> list[Panel]:
    """A panel for each run that was evaluated on the way, by step of training."""
    return _along(models, lambda evaluations: {float(one["step"]): one for one in evaluated(evaluations, "step")})


def over_shares(models: Sequence[ReportedModel]) -> list[Panel]:
    """A panel for each run of which interpolated weights were evaluated, from 0, the base, to 1, unlearned."""
    return _along(models, between)


def over_option(models: Sequence[ReportedModel]) -> tuple[str, list[Panel]] | None:
    """The numeric option that most points of a sweep differ in, and a panel for each combination of the others."""
    points = [(_options(model.name), model) for model in models if "=" in model.name and not model.condition]
    varied = _most_varied([options for options, _ in points])
    together: dict[str, dict[float, ReportedModel]] = defaultdict(dict)
    for options, model in points:
        if (number := _number(options.pop(varied, ""))) is not None:
            together[", ".join(f"{name} = {value}" for name, value in options.items())][number] = model
    panels = [_panel(title, dict(sorted(found.items()))) for title, found in together.items() if len(found) > 1]
    return (varied, panels) if panels else None


def over_lengths(models: Sequence[ReportedModel], kinds: Mapping[str, Kind]) -> Iterator[Panel]:
    """For each question set, and each family of perturbations that differ in n only, the perturbed and the control."""
    families: dict[tuple[str, str], dict[float, str]] = defaultdict(dict)
    for variant in models[0].perturbed:
        questions, _, name = variant.partition("/")
        if name in kinds and kinds[name].similarity is None:
            families[questions, kinds[name].family][kinds[name].n] = variant
    for (questions, family), by_n in families.items():
        for suffix, what in (("", "forget text"), (CONTROL, "retain text (control)")):
            if len(by_n) > 1:
                lines = [
                    Line(model.name, {n: cell(model, f"{by_n[n]}{suffix}") for n in sorted(by_n)}) for model in models
                ]
                yield Panel(f"{', '.join(filter(None, (questions, family)))}: {what}", lines)


def readable(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """The panels; where they have many lines, several times, each with some perturbations and everything else."""
    labels = dict.fromkeys(line.label for panel in panels for line in panel.lines)
    perturbed = [label for label in labels if f"{label}{CONTROL}" in labels]
    for start in range(0, max(1, len(perturbed)), _TOGETHER):
        others = {*perturbed[:start], *perturbed[start + _TOGETHER :]}
        yield [
            panel._replace(lines=[line for line in panel.lines if line.label.removesuffix(CONTROL) not in others])
            for panel in panels
        ]


def _along(
    models: Sequence[ReportedModel], by: Callable[[Sequence[Mapping[str, Any]]], dict[float, Mapping[str, Any]]]
) -> list[Panel]:
    """A panel for each run of which `by` has more than two records."""
    panels = []
    for model in each_run(models):
        seeds = [by(results["evaluations"]) for results in model.results]
        common = sorted(set(seeds[0]).intersection(*seeds))
        if len(common) > 2:
            at = {x: model._replace(records=[seed[x] for seed in seeds]) for x in common}
            panels.append(_panel(model.name, at))
    return panels


def _panel(title: str, models: Mapping[float, ReportedModel]) -> Panel:
    """A line for each variant, over models by x."""
    variants = next(iter(models.values())).variants
    return Panel(
        title, [Line(variant, {x: cell(model, variant) for x, model in models.items()}) for variant in variants]
    )


def _options(name: str) -> dict[str, str]:
    """What the name of a sweep's folder says of its options.

    Example:
        >>> _options("noise_scale=0.5,layer=3")
        {'noise_scale': '0.5', 'layer': '3'}
    """
    return {option: value for option, _, value in (part.partition("=") for part in name.split(","))}


def _most_varied(points: Sequence[Mapping[str, str]]) -> str:
    """The option with the most different numbers; empty where none has any."""
    values: dict[str, set[float]] = defaultdict(set)
    for options in points:
        for name, value in options.items():
            if (number := _number(value)) is not None:
                values[name].add(number)
    return max(values, key=lambda name: len(values[name]), default="")


def _number(text: str) -> float | None:
    """The number that a text is; None for others, such as a list's values, joined with underscores.

    Example:
        >>> _number("1e-05"), _number("6.5_9")
        (1e-05, None)
    """
    return float(text) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text, re.IGNORECASE) else None
