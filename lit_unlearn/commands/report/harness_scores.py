"""What the lm-eval harness has measured of each run, as LMEvalHarness wrote it: side effects beside the forgetting."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from lit_unlearn.commands.report.grid import plain
from lit_unlearn.commands.report.included_analyses import Included
from lit_unlearn.commands.report.runs import BASE, ReportedModel, each_run
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.tables import markdown_table

TITLE = "Tasks of the lm-eval harness"
_TEXT = (
    "Scores of the callback LMEvalHarness, in percent with the harness' standard error; over runs of several seeds "
    "their mean with the lowest and the highest. Of the base, those that a run has from before training (at: start)."
)


class Score(NamedTuple):
    """One metric of one task."""

    value: float
    error: float | None
    """The harness' standard error, where it has one."""


Scores = dict[str, Score]
"""By TASK/METRIC, with /FILTER where the harness filters answers."""


def sections(models: Sequence[ReportedModel]) -> list[Included]:
    """The table of what the harness has measured; none where no run was asked.

    Args:
        models: of the report.

    Raises:
        InputError: a run's file of results cannot be read.
    """
    runs = each_run(models)
    found = {run.name: [_read(folder / layout.LM_EVAL) for folder in run.folders or [run.path]] for run in runs}
    asked = {name: [one for one in own if one is not None] for name, own in found.items()}
    asked = {name: own for name, own in asked.items() if own}
    if not asked:
        return []
    before = [one for own in asked.values() for one in map(_before, own) if one]
    columns = ({BASE: before[:1]} if before else {}) | {
        name: [scores(one["results"]) for one in own] for name, own in asked.items()
    }
    names = list(dict.fromkeys(name for own in columns.values() for one in own for name in one))
    rows = [[name, *(_cell([one[name] for one in own if name in one]) for own in columns.values())] for name in names]
    head = ["task and metric", *columns]
    text = f"## {TITLE}\n\n{_TEXT}\n\n{markdown_table(head, rows)}\n"
    return [Included(TITLE, [_TEXT], plain("", head, rows), runs[0].path, None, text)]


def scores(results: Mapping[str, Mapping[str, Any]]) -> Scores:
    """Every metric with its standard error.

    Args:
        results: of the harness, by task.

    Example:
        >>> scores({"toxigen": {"alias": "toxigen", "acc,none": 0.5, "acc_stderr,none": 0.1}})
        {'toxigen/acc': Score(value=0.5, error=0.1)}
        >>> scores({"gsm8k_cot": {"exact_match,strict-match": 0.2, "exact_match_stderr,strict-match": "N/A"}})
        {'gsm8k_cot/exact_match/strict-match': Score(value=0.2, error=None)}
    """
    found: Scores = {}
    for task, row in results.items():
        for name, value in row.items():
            metric, comma, kind = name.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = row.get(f"{metric}_stderr,{kind}")
            label = f"{task}/{metric}" + ("" if kind == "none" else f"/{kind}")
            found[label] = Score(float(value), float(error) if isinstance(error, int | float) else None)
    return found


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = [row.items() for row in found["results"].values()], [one["scores"] for one in found["earlier"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no results of LMEvalHarness ({error!r}); remove it") from error
    return found


def _before(found: Mapping[str, Any]) -> Scores:
    """What the harness measured before training; empty where it did not."""
    first = [one["scores"] for one in found["earlier"] if one["step"] == 0] if found["step"] else []
    return {name: Score(value, None) for name, value in (first[0] if first else {}).items()}


def _cell(found: Sequence[Score]) -> str:
    """In percent; of several runs the mean and the range."""
    values = [100 * one.value for one in found]
    if len(values) > 1:
        return f"{fmean(values):.1f} [{min(values):.1f}, {max(values):.1f}]"
    if not values:
        return ""
    error = found[0].error
    return f"{values[0]:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")
