"""The tables and the figure of the study of attacks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.study.attack_settings import BASE, METHOD, AttackedRow
from lit_unlearn.commands.attack.card import Bounded, CardRow, bounded
from lit_unlearn.commands.attack.figure import draw
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.attack.run import NONE
from lit_unlearn.commands.report.style import encoded
from lit_unlearn.errors import InputError
from lit_unlearn.questions.statistics import Estimate
from lit_unlearn.runs.tables import markdown_table

_MEASURES = {
    "forget_accuracy": "forget accuracy, %",
    "answer_probability": "probability of the right answer's text, %",
    "retain_accuracy": "retain accuracy, %",
    "perturbed_accuracy": "retain accuracy with 4 tokens of forget text in a wrong option, %",
}
_DRAWN = (NONE, "int4", "merge", "other, 10 steps", "asked, 10 steps", "prefix")
_TITLES = {NONE: "no attack"}


class Place(NamedTuple):
    """A cell of the tables."""

    row: str
    attack: str
    """Its name in the config, of a training with the steps."""


Cells = Mapping[Place, Mapping[int, Mapping[str, Estimate]]]
"""The measures of each cell, by seed; the model before unlearning has one seed where an attack draws nothing."""


def cells(found: Iterable[tuple[Unit, Kept]]) -> Cells:
    """What the attacks found; outcomes that failed are left out, and named by `failures`.

    Args:
        found: of all seeds.

    Raises:
        InputError: an attack has several outcomes for one cell.
    """
    every: dict[Place, dict[int, Mapping[str, Estimate]]] = {}
    for unit, kept in found:
        row, _, own = unit.model.partition("/seed-")
        for outcome in kept.outcomes:
            steps = outcome.settings.get("steps")
            place = Place(row, unit.attack if steps is None else f"{unit.attack}, {steps} steps")
            if outcome.failed is not None:
                continue
            seeds, seed = every.setdefault(place, {}), int(own or unit.seed)
            if seeds.get(seed, outcome.measures) != outcome.measures:
                raise InputError(
                    f"--attacks: {place.attack} has several outcomes of {unit.model}, and the tables room for one; "
                    "give it one setting"
                )
            seeds[seed] = outcome.measures
    return every


def failures(found: Iterable[tuple[Unit, Kept]]) -> str:
    """The outcomes that cells leave out, and why; empty for none.

    Args:
        found: of all seeds.
    """
    lines = [
        f"- {unit.model}, {unit.attack}, seed {unit.seed}: {outcome.failed}"
        for unit, kept in found
        for outcome in kept.outcomes
        if outcome.failed is not None
    ]
    return "\n".join(["Left out of the means above:\n", *dict.fromkeys(lines), ""]) if lines else ""


def tables(found: Cells, rows: Sequence[AttackedRow]) -> str:
    """A table for each measure: models by attacks.

    Args:
        found: by `cells`.
        rows: of the tables.
    """
    parts = []
    for measure, title in _MEASURES.items():
        attacks = [one for one in _attacks(found) if any(measure in each for each in _seeds(found, one))]
        lines = [
            [row.title, *(_shown(_mean(found, Place(row.folder, one), measure)) for one in attacks)] for row in rows
        ]
        parts.append(f"{markdown_table([title, *(_TITLES.get(one, one) for one in attacks)], lines)}\n")
    return "\n".join([*parts, f"{_legend(found)}\n"])


def compared(found: Cells, rows: Sequence[AttackedRow]) -> str:
    """Differences from the method under the same seed, with their intervals over seeds.

    Args:
        found: by `cells`.
        rows: of the tables.
    """
    others = [row for row in rows if row.folder not in (BASE, METHOD)]
    parts = []
    for measure in ("forget_accuracy", "answer_probability"):
        head = f"{_MEASURES[measure].removesuffix(', %')}, points more than RMU's"
        lines = [
            [row.title, *(_difference(found, row.folder, one, measure) for one in _attacks(found))] for row in others
        ]
        parts.append(f"{markdown_table([head, *(_TITLES.get(one, one) for one in _attacks(found))], lines)}\n")
    return "\n".join(parts)


def picture(found: Cells, rows: Sequence[AttackedRow]) -> bytes:
    """Dots with intervals: a line for each model, a dot for each attack.

    Args:
        found: by `cells`.
        rows: the lines.
    """
    dots = []
    for attack in _attacks(found):
        for row in rows if attack in _DRAWN else ():
            measured = {name: _mean(found, Place(row.folder, attack), name) for name in _MEASURES}
            known = {name: one for name, one in measured.items() if one is not None}
            dots.append(CardRow(_TITLES.get(attack, attack), attack, row.title, [], 1, 0.0, known, []))
    return encoded(draw(dots), "png")


def _legend(found: Cells) -> str:
    seeds = max(map(len, found.values()))
    if seeds == 1:
        return "One seed; ± is half of a 95 % interval over questions, of differences as if each were asked its own."
    return (
        f"Means over {seeds} seeds; ± is half of a 95 % interval over seeds (Student's t), over questions where an "
        "attack on the base draws nothing."
    )


def _attacks(found: Cells) -> list[str]:
    return list(dict.fromkeys(place.attack for place in found))


def _seeds(found: Cells, attack: str) -> list[Mapping[str, Estimate]]:
    return [one for place, seeds in found.items() if place.attack == attack for one in seeds.values()]


def _mean(found: Cells, place: Place, measure: str) -> Bounded | None:
    own = [one[measure] for one in found.get(place, {}).values() if measure in one]
    return bounded(own) if own else None


def _shown(one: Bounded | None, sign: str = "") -> str:
    if one is None:
        return ""
    half = "" if one.half is None else f" ± {100 * one.half:.1f}"
    return f"{100 * one.value:{sign}.1f}{half}".replace("-", "−")


def _difference(found: Cells, row: str, attack: str, measure: str) -> str:
    """Of the seeds that both have."""
    own, method = (found.get(Place(name, attack), {}) for name in (row, METHOD))
    both = [seed for seed in own if seed in method and measure in own[seed]]
    return _shown(bounded([_more(own[seed][measure], method[seed][measure]) for seed in both]), "+") if both else ""


def _more(one: Estimate, other: Estimate) -> tuple[float, float | None]:
    """A difference and its standard error over questions, as if each were asked its own: of a single seed, wider."""
    errors = (one.standard_error, other.standard_error)
    return one.value - other.value, None if None in errors else math.hypot(*filter(None, errors))
