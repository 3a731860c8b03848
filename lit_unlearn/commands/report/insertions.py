"""What forget text in retain rows costs each model of a report, as LikelihoodRobustness counted it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lit_unlearn.commands.report.cells import Cell, mean_cell
from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.questions import excess

PREFIX = f"{excess.PREFIX}/"
"""Of the names of insertions, which tells them from variants of questions."""


def insertions(models: Sequence[ReportedModel]) -> list[str]:
    """The kinds of spans with origins, such as `insert/16-gram/trained`, that all models have of the same rows."""
    records = [record for model in models for record in model.records]
    if not all(excess.PREFIX in record for record in records):
        return []
    drawn = [record[excess.PREFIX]["seed"] for record in records]
    spans = [_spans(record) for record in records]
    return [
        f"{PREFIX}{name}"
        for name, one in spans[0].items()
        if len(set(drawn)) == 1 and all(name in other and other[name]["row"] == one["row"] for other in spans)
    ]


def excesses(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """The excess of each row in several evaluations, float64 `[records, rows]`, in nats per token.

    Args:
        records: evaluations, as in results.json.
        name: of an insertion.
    """
    found = [excess.excess(_spans(record)[name.removeprefix(PREFIX)]) for record in records]
    return torch.stack(found).numpy()


def excess_cell(model: ReportedModel, name: str) -> Cell:
    """The mean excess of a model."""
    return mean_cell(torch.from_numpy(excesses(model.records, name)))


def damaged_share(model: ReportedModel, base: ReportedModel, name: str) -> Cell:
    """The share of rows whose damage, the excess beyond the base's, is large."""
    damage = excesses(model.records, name) - excesses(base.records[:1], name)
    return mean_cell(torch.from_numpy(damage > excess.LARGE).double())


def forget_tokens(model: ReportedModel) -> Cell | None:
    """The NLL of tokens 25 to 96 of held-out forget rows; None where seeds scored different rows."""
    scored = [record[excess.PREFIX]["outcomes"]["forget"] for record in model.records]
    if any(one["row"] != scored[0]["row"] for one in scored):
        return None
    return mean_cell(torch.tensor([one["nll"] for one in scored], dtype=torch.float64))


def _spans(record: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = record[excess.PREFIX]["outcomes"]["spans"]
    return found
