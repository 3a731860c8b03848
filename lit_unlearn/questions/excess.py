"""What forget text in a retain row costs beyond as much retain text: from likelihoods of tokens to numbers and a table.

Cost = NLL after an insertion - NLL of the same tokens without it. Excess = cost of forget text - cost of retain text in
the same place. Damage = excess - the excess before training. All are means over tokens, by row, in nats.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, TypedDict

import torch
from torch import Tensor

from lit_unlearn.questions.insertions import FORGET_TOKENS, SCORED, Plan
from lit_unlearn.questions.statistics import Estimate, mean
from lit_unlearn.runs.tables import aligned

DISTANCES = ((1, 8), (9, 24), (25, 48))
"""First and last of some tokens after an insertion."""
LARGE = 0.5
"""Nats per token of excess, or damage, above which a row is counted."""
PREFIX = "insert"
"""Of the names of numbers."""
_DIGITS = 6


class Excess(TypedDict):
    """Of one kind of span and origin, by row."""

    row: list[int]
    """Numbers of the held-out retain rows."""
    cost: list[float]
    """Of forget text."""
    control: list[float]
    """Cost of retain text."""
    excess: dict[str, list[float]]
    """By distance, such as `1-8`."""


class Outcomes(TypedDict):
    """What an evaluation found, all by row."""

    forget: dict[str, list[float]]
    """`row`, numbers of held-out forget rows, and `nll`, of their tokens from 25 to 96."""
    retain: dict[str, list[float]]
    """`row`, numbers of held-out retain rows, and `nll` of the scored tokens as they are."""
    spans: dict[str, Excess]
    """By span and origin, such as `16-gram/trained`."""


Measured = dict[str, float | None]


def token_values(batches: Sequence[Mapping[str, Tensor]]) -> dict[int, list[float]]:
    """The values of each text's scored tokens, by the text's number.

    Args:
        batches: of `Scored`.

    Example:
        >>> token_values([{"text": torch.tensor([3]), "token_nll": torch.tensor([[0.5, torch.nan]])}])
        {3: [0.5]}
    """
    return {
        int(number): values[~values.isnan()].tolist()
        for batch in batches
        for number, values in zip(batch["text"], batch["token_nll"].double(), strict=True)
    }


def outcomes(plan: Plan, values: Mapping[int, Sequence[float]]) -> Outcomes | None:
    """What came out, of the rows of which all is known; None where of some kind of span no row is.

    Args:
        plan: what was scored.
        values: by text, of its scored tokens.
    """
    spans = {}
    for name, inserted in plan.inserted.items():
        known = [one for one in inserted if {one.clean, one.forget, one.control} <= values.keys()]
        if not known:
            return None
        clean, forget, control = (
            torch.tensor([values[number] for number in numbers], dtype=torch.float64)
            for numbers in zip(*(one[1:] for one in known), strict=True)
        )
        spans[name] = Excess(
            row=[one.row for one in known],
            cost=_rounded((forget - clean).mean(dim=1)),
            control=_rounded((control - clean).mean(dim=1)),
            excess={
                f"{first}-{last}": _rounded((forget - control)[:, first - 1 : last].mean(dim=1))
                for first, last in DISTANCES
            },
        )
    clean_texts = {one.row: one.clean for inserted in plan.inserted.values() for one in inserted}
    return Outcomes(forget=_by_row(plan.forget, values), retain=_by_row(clean_texts, values), spans=spans)


def excess(found: Excess) -> Tensor:
    """Cost of forget text beyond that of retain text, float64 `[rows]`."""
    return torch.tensor(found["cost"], dtype=torch.float64) - torch.tensor(found["control"], dtype=torch.float64)


def measure(found: Outcomes, base: Outcomes | None) -> dict[str, Measured]:
    """The numbers by name, such as `insert/16-gram/trained`, each with its standard error over rows.

    Args:
        found: of an evaluation.
        base: of the model before training; None where it is not known.

    Returns:
        Of each kind of span and origin `excess`, `excess_share` (of rows above LARGE), `cost`, `control` and
        `excess_1-8`, …; with a base `damage` and `damage_share`. Of `insert/forget` and `insert/retain` `nll`.
    """
    out: dict[str, Measured] = {
        f"{PREFIX}/{stream}": _pair("nll", mean(torch.tensor(rows["nll"])))
        for stream, rows in (("forget", found["forget"]), ("retain", found["retain"]))
        if rows["nll"]
    }
    for name, one in found["spans"].items():
        row = _with_share("excess", excess(one))
        row |= {key: value for part in ("cost", "control") for key, value in _mean(part, one[part]).items()}
        for distance, values in one["excess"].items():
            row |= _mean(f"excess_{distance}", values)
        if base is not None and (before := base["spans"].get(name)) and before["row"] == one["row"]:
            row |= _with_share("damage", excess(one) - excess(before))
        out[f"{PREFIX}/{name}"] = row
    return out


def log_values(measured: Mapping[str, Measured]) -> dict[str, float]:
    """What is logged: all but the standard errors, by key."""
    return {
        f"{name}/{key}": value
        for name, row in measured.items()
        for key, value in row.items()
        if value is not None and not key.endswith("_error")
    }


def excess_table(measured: Mapping[str, Measured], rows: int) -> str:
    """The numbers as text.

    Args:
        measured: by name.
        rows: that were inserted into.
    """
    spans = {name: row for name, row in measured.items() if "excess" in row}
    heads = [*(f"{first}-{last}" for first, last in DISTANCES)]
    damaged = any("damage" in row for row in spans.values())
    share = "damage_share" if damaged else "excess_share"
    columns = {
        "cost": "cost",
        "control": "control",
        "excess": "excess",
        **{f"tokens {head}": f"excess_{head}" for head in heads},
        **({"damage": "damage"} if damaged else {}),
    }
    lines = [["forget text in retain rows", *columns, f"rows > {LARGE}"]]
    for name, row in spans.items():
        cells = [_shown(row, key) for key in columns.values()]
        lines.append([name.removeprefix(f"{PREFIX}/"), *cells, f"{100 * (row[share] or 0):.0f} %"])
    first, last = FORGET_TOKENS[0] + 1, FORGET_TOKENS[1]
    told = [
        f"{stream} {_shown(measured[name], 'nll')}"
        for stream in ("forget", "retain")
        if (name := f"{PREFIX}/{stream}") in measured
    ]
    head = (
        f"held-out rows, NLL in nats per token: {', '.join(told)} (forget: tokens {first} to {last})\n"
        f"{rows} held-out retain rows, nats per token over the {SCORED} after an insertion:"
    )
    return "\n".join([head, *aligned(lines, numbers=True)])


def _by_row(texts: Mapping[int, int], values: Mapping[int, Sequence[float]]) -> dict[str, list[float]]:
    found = {row: fmean(values[number]) for row, number in texts.items() if number in values}
    return {"row": [*found], "nll": [round(value, _DIGITS) for value in found.values()]}


def _with_share(name: str, values: Tensor) -> Measured:
    return _pair(name, mean(values)) | {f"{name}_share": mean(values > LARGE).value}


def _mean(name: str, values: Sequence[float]) -> Measured:
    return _pair(name, mean(torch.tensor(values)))


def _pair(name: str, estimate: Estimate) -> Measured:
    return {name: estimate.value, f"{name}_error": estimate.standard_error}


def _rounded(values: Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.tolist()]


def _shown(row: Mapping[str, Any], key: str) -> str:
    value, error = row.get(key), row.get(f"{key}_error")
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")
