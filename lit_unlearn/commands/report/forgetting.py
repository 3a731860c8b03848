"""How far a model has forgotten, on measures without a floor: an accuracy stays at guessing however much is lost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lit_unlearn.commands.report.runs import ReportedModel

FORGET, RETAIN = "forget", "retain"
"""Streams of which rows may be held out."""


class Measure(NamedTuple):
    """A number of each question to forget, or of each held-out row, in nats."""

    name: str
    head: str
    """Of a column."""
    described: str
    """Within a sentence."""
    missing: str
    """Why nothing is stated where it was not measured."""
    unit: str
    """What values of it are called within a cell."""
    rises: bool
    """Whether more is forgotten where it is higher."""

    @property
    def questions(self) -> str:
        """What it is measured on, as a name for draws."""
        return "held-out rows" if self is NLL else "questions to forget"


TEXT = Measure(
    name="text",
    head="forget: log p text",
    described="log p of the right text on questions to forget",
    missing="no log p of the right text",
    unit="log p",
    rises=False,
)
LETTER = Measure(
    name="letter",
    head="forget: log p letter",
    described="log p of the right letter on questions to forget",
    missing="no log p of the right letter",
    unit="log p of the letter",
    rises=False,
)
NLL = Measure(
    name="nll",
    head="NLL: forget rows",
    described="NLL of held-out forget rows",
    missing="no NLL of the same held-out forget rows",
    unit="NLL",
    rises=True,
)
RETAIN_NLL = "NLL: retain rows"
MEASURES = {measure.name: measure for measure in (TEXT, LETTER, NLL)}


def measured(records: Sequence[Mapping[str, Any]], measure: Measure, forget: Sequence[str]) -> np.ndarray | None:
    """The numbers of several evaluations, paired.

    Args:
        records: evaluations, as in results.json.
        measure: which number.
        forget: names of the sets to forget.

    Returns:
        float64 `[records, questions or rows]`; None where one lacks them, has those of other rows, or has diverged.
    """
    if measure is NLL:
        return held_out(records, FORGET)
    asked = [[record["outcomes"][name].get(f"{measure.name}_logprob") for name in forget] for record in records]
    if not forget or any(found is None for each in asked for found in each):
        return None
    return _finite([np.concatenate(each) for each in asked])


def held_out(records: Sequence[Mapping[str, Any]], stream: str) -> np.ndarray | None:
    """The mean negative log-likelihood per token of held-out rows, in nats, of several evaluations.

    Returns:
        float64 `[records, rows]`; None where one has none of them, or other rows, or has diverged.
    """
    found = [record.get("held_out", {}).get(stream) for record in records]
    rows = [one["row"] for one in found if one]
    if len(rows) < len(found) or any(own != rows[0] for own in rows) or not rows[0]:
        return None
    return _finite([one["nll"] for one in found if one])


def columns(model: ReportedModel, forget: Sequence[str]) -> dict[str, np.ndarray]:
    """All that is known of a model's forgetting, and the same of retain rows: `[seeds, numbers]` by column."""
    found = {measure.head: measured(model.records, measure, forget) for measure in MEASURES.values()}
    found[RETAIN_NLL] = held_out(model.records, RETAIN)
    return {head: numbers for head, numbers in found.items() if numbers is not None}


def _finite(values: Sequence[Any]) -> np.ndarray | None:
    found = np.array(values, dtype=np.float64)
    return found if np.isfinite(found).all() else None
