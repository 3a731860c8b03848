"""The card: a row for each attack, with the worst of its outcomes, what is left of use, and the cost."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from lit_unlearn.commands.attack.config import FULL
from lit_unlearn.commands.attack.contract import MEASURES, Outcome
from lit_unlearn.commands.attack.figure import draw
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.attack.run import BASE, NONE, Card
from lit_unlearn.commands.attack.shown import Shown, shown
from lit_unlearn.commands.report.section import Section, rewrite_section

TITLE = "Attack card"
_TEXT = """\
What an unlearned model answers once it is changed, fine-tuned or asked otherwise. Each row is the worst case of an \
attack: of all settings and moments that were tried, whose number the column `tried` has, the one with the highest \
accuracy on forget questions, among equals the highest probability of the right answer. All columns of a row are of \
that one outcome, so that what is left of use is read beside what came back. A worst case of many is found on the \
questions on which it is reported, which makes it look somewhat worse than it is.

forget, retain: accuracy (%); perturbed, control: accuracy on questions to retain with forget text, and with as many \
tokens of retain text, in one wrong option, a mean over the perturbations. answer: probability (%) of the right \
answer's text after the forget question without options, a geometric mean over its tokens; log p: its logarithm summed \
over tokens, in nats, which has no floor. forget NLL: of held-out forget rows, nats per token. ± is half of a 95 % \
interval: over questions or rows where one run was made, and over runs where several seeds were. half back: fewest \
steps of fine-tuning after which half of the accuracy on forget questions that unlearning took is back, of all \
learning rates, in each run; `never` is within the steps that were tried. Empty cells are not measured by an attack.

Relearning on rows of asked entities teaches the answers again, to any model. Rows of other entities teach none of the \
facts that are asked for: what they bring back had been hidden, not removed. Both count the same half of the forget \
questions, drawn by the seed."""
_COLUMNS = {
    "forget": ("forget_accuracy", 100, 1),
    "answer": ("answer_probability", 100, 1),
    "log p": ("log_probability", 1, 2),
    "retain": ("retain_accuracy", 100, 1),
    "perturbed": ("perturbed_accuracy", 100, 1),
    "control": ("control_accuracy", 100, 1),
    "forget NLL": ("forget_nll", 1, 2),
}
"""Name, measure, factor and decimals."""
_NORMAL = 1.96


Runs = Mapping[tuple[str, int], Sequence[Kept]]
"""What each model gave under each seed, by its points."""


class Bounded(NamedTuple):
    """A number and half of its 95 % interval."""

    value: float
    half: float | None


class CardRow(NamedTuple):
    """One attack on one model, or on the runs of several seeds."""

    model: str
    attack: str
    title: str
    worst: list[Outcome]
    """Of each run and seed."""
    tried: int
    """Outcomes of a run under a seed, of which the worst is taken."""
    seconds: float
    """A mean over runs and seeds."""
    measures: dict[str, Bounded]
    half_back: list[int | None]
    """Of each run and seed, the fewest steps that bring back half of what was lost, None where none do; empty where
    nothing is trained or the model before unlearning is not known."""
    shown: tuple[str, ...] = ()
    """Names of further numbers that the table has."""


def write_card(card: Card, folder: Path) -> Section:
    """Writes table, numbers and figure of what was run, now and before.

    Raises:
        InputError: a unit is not done.
    """
    found = shown(card)
    rows = card_rows(card, found.found)
    section = Section(
        TITLE,
        "\n\n".join([_TEXT, *_missing(found)]),
        ["model", "attack", *_COLUMNS, "half back", "worst at", "tried", "seconds"],
        [*_cells(rows)],
        _numbers(rows),
    )
    rewrite_section(folder, section, draw(rows))
    return section


def card_rows(card: Card, found: Iterable[tuple[Unit, Kept]]) -> list[CardRow]:
    """What units gave, an attack at a time.

    Args:
        card: of the units.
        found: units with their outcomes.
    """
    grouped: dict[tuple[str, str], dict[tuple[str, int], list[Kept]]] = {}
    for unit, kept in found:
        group = card.attacked[unit.model].group
        runs = grouped.setdefault((group, unit.attack), {})
        runs.setdefault((unit.model, unit.seed), []).append(kept)
    halves = _halves(grouped)
    return [_row(card, model, attack, runs, halves) for (model, attack), runs in grouped.items()]


def half_back(outcomes: Sequence[Outcome], half: float) -> int | None:
    """The fewest steps after which the accuracy on forget questions is at least `half`; None where it never is.

    Example:
        >>> from lit_unlearn.questions.statistics import Estimate
        >>> found = [Outcome({"steps": n}, {"forget_accuracy": Estimate(n / 100, None)}) for n in (60, 40, 20)]
        >>> half_back(found, 0.4), half_back(found, 0.7)
        (40, None)
    """
    reached = [
        one.settings["steps"]
        for one in outcomes
        if "forget_accuracy" in one.measures and one.measures["forget_accuracy"].value >= half
    ]
    return min(reached, default=None)


def bounded(estimates: Sequence[tuple[float, float | None]]) -> Bounded:
    """A mean with half of its 95 % interval: over runs where there are several (Student's t), else over questions.

    Args:
        estimates: of each run, the value and its standard error over questions.

    Example:
        >>> bounded([(0.5, 0.1)])
        Bounded(value=0.5, half=0.196)
        >>> round(bounded([(0.4, None), (0.6, None)]).half, 3)
        1.271
    """
    values = [value for value, _ in estimates]
    if len(values) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
        return Bounded(fmean(values), half)
    error = estimates[0][1]
    return Bounded(values[0], None if error is None else round(_NORMAL * error, 9))


def _missing(found: Shown) -> Iterator[str]:
    """What the table has no rows of, and why."""
    if found.not_run:
        yield f"Not run yet: {', '.join(found.not_run)}."
    if found.other:
        yield (
            f"Not shown: {', '.join(found.other)}, run with other options, other weights or another version; to run "
            "them again, remove their folders from that of the outcomes."
        )


def _row(card: Card, model: str, name: str, runs: Runs, halves: Mapping[str, float]) -> CardRow:
    attack = card.every[name]
    every = {run: [outcome for kept in parts for outcome in kept.outcomes] for run, parts in runs.items()}
    worst = [attack.worst(outcomes) for outcomes in every.values()]
    seconds = fmean(sum(kept.seconds for kept in parts) for parts in runs.values())
    back = [
        half_back(outcomes, halves[run])
        for (run, _), outcomes in every.items()
        if run in halves and any("steps" in one.settings for one in outcomes)
    ]
    return CardRow(
        model,
        name.removesuffix(FULL),
        attack.title,
        worst,
        max(map(len, every.values())),
        seconds,
        _measures(worst),
        back,
        attack.shown,
    )


def _halves(grouped: Mapping[tuple[str, str], Runs]) -> dict[str, float]:
    """Of each model whose base is known, the accuracy on forget questions half-way back to it."""
    found: dict[str, dict[str, float]] = {NONE: {}, BASE: {}}
    for (_, attack), runs in grouped.items():
        for (run, _), parts in runs.items() if attack in found else ():
            measured = parts[0].outcomes[0].measures.get("forget_accuracy")
            if measured is not None:
                found[attack][run] = measured.value
    return {run: (value + found[NONE][run]) / 2 for run, value in found[BASE].items() if run in found[NONE]}


def _measures(worst: Sequence[Outcome]) -> dict[str, Bounded]:
    found = {}
    for name in MEASURES:
        estimates = [one.measures[name] for one in worst if name in one.measures]
        if estimates:
            found[name] = bounded(estimates)
    return found


def _cells(rows: Sequence[CardRow]) -> Iterator[list[str]]:
    for row in rows:
        shown = [_shown(row.measures.get(name), factor, digits) for name, factor, digits in _COLUMNS.values()]
        back = ", ".join("never" if steps is None else str(steps) for steps in row.half_back)
        where = "; ".join(filter(None, [_where(row.worst), _further(row)]))
        yield [row.model, row.title, *shown, back, where, str(row.tried), f"{row.seconds:.1f}"]


def _shown(found: Bounded | None, factor: float, digits: int) -> str:
    if found is None:
        return ""
    half = "" if found.half is None else f" ± {factor * found.half:.{digits}f}"
    return f"{factor * found.value:.{digits}f}{half}"


def _where(worst: Sequence[Outcome]) -> str:
    """The settings of the worst outcomes, each once; why a model failed."""
    texts = [one.failed or ", ".join(f"{name} {value}" for name, value in one.settings.items()) for one in worst]
    return "; ".join(dict.fromkeys(filter(None, texts)))


def _further(row: CardRow) -> str:
    """Numbers of the attack's own, means over runs and seeds."""
    values = {name: [found for one in row.worst if (found := one.further.get(name)) is not None] for name in row.shown}
    return ", ".join(f"{name.replace('_', ' ')} {fmean(found):.3g}" for name, found in values.items() if found)


def _numbers(rows: Sequence[CardRow]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        found.setdefault(row.model, {})[row.attack] = {
            "title": row.title,
            "measures": {name: {"value": one.value, "half_interval": one.half} for name, one in row.measures.items()},
            "worst": [one.as_json() for one in row.worst],
            "half_back": row.half_back,
            "tried": row.tried,
            "seconds": round(row.seconds, 2),
        }
    return found
