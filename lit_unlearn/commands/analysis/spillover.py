"""Spill-over: at which positions of an ordinary question a forget token does its harm."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis.insertion import AS_ASKED, CONTROL, FORMS, PERTURBED, Marked, marked_queries
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.patching import DISTANCES, NONE, POSITIONS, Decoder, Patched, ask, patch
from lit_unlearn.commands.analysis.spillover_figure import Numbers, draw
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.questions.statistics import mean

_TEXT = """\
Activation patching: the unlearned model answers questions to retain, but after the steering layer its hidden states \
at some positions are the base's on the same text; the layers above are the unlearned model's. Accuracy (%, with its \
standard error) that comes back when states are replaced at some positions was lost there. "before" and "after" are \
before and after the forget tokens, to the end of the query; "last" is the position that is asked for the letter.

"brought back" is the gain over "none" in points, "beyond control" the gain less that with as many tokens of retain \
text in their place; both are paired over questions. Displacement is the mean distance of the two models' states \
where they are not replaced, in mean norms of the base's states on the questions as asked; first tokens, as attention \
sinks, are left out. As asked, "inserted" is what gives way to the forget tokens.

Where "all but inserted" is as good as "all", the forget tokens' own states are harmless to the layers above, and what \
"after" brings back is the harm of spill-over: states after a forget token are steered too. Attention being causal, \
those before it are not; what "before" brings back is no forget token's doing. Where "all" is not the base's accuracy, \
layers above were trained."""
_COLUMNS = (
    "model",
    "questions",
    "base's states",
    "perturbed (%)",
    "control (%)",
    "as asked (%)",
    "brought back",
    "beyond control",
    "displacement, perturbed",
    "displacement, control",
    "displacement, as asked",
)
_GAINS = (PERTURBED, "beyond_control")
_Queries = Mapping[str, Mapping[str, Sequence[Marked]]]


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """What the base's states at some positions bring back of each run's answers.

    Base and unlearned model are in memory together.

    Args:
        paths: folders of runs; the first one's questions to retain are asked.
        words: further options of `fit`; `--model.layer` names another layer than the steering layer.
        count: questions of each set.
        batch_size: queries that run together, of the longest; of shorter ones more.

    Raises:
        InputError: a run cannot be used, or perturbs no question to retain.
    """
    runs = open_runs(paths, words)
    asked, model = marked_queries(runs[0], count), runs[0].load_base()
    base = Decoder(model, runs[0].layers(model))
    answers = _of_base(model, asked, batch_size)
    found = {run.name: _of_run(run, base, asked, batch_size) for run in runs}
    rows = [_base_row(name, one) for name, one in answers.items()]
    rows += [row for model, of in found.items() for name, one in of.items() for row in _rows(model, name, one)]
    section = Section("Spill-over of forget tokens", _TEXT, _COLUMNS, rows, {BASE: answers, **found})
    return section, draw(answers, found)


def summary(forms: Mapping[str, Patched]) -> Numbers:
    """Means over queries with their standard errors, differences paired; displacements in mean norms.

    Args:
        forms: of one set of questions, by how they are asked.
    """
    perturbed, control = forms[PERTURBED], forms[CONTROL]
    norm = forms[AS_ASKED].norm.nanmean()
    return {
        "norm": norm.item(),
        **{form: _of_form(found, norm) for form, found in forms.items()},
        "beyond_control": {
            "brought_back": _by_position(_gain(perturbed) - _gain(control)),
            "displacement": _by_position((perturbed.distance - control.distance) / norm),
        },
    }


def _of_form(found: Patched, norm: Tensor) -> Numbers:
    return {
        "accuracy": _by_position(found.correct),
        "brought_back": _by_position(_gain(found)),
        "displacement": _by_position(found.distance / norm),
        "profile": dict(zip(map(str, DISTANCES), map(_estimate, found.profile / norm), strict=True)),
    }


def _gain(found: Patched) -> Tensor:
    """Whether replacing states makes an answer right, 1, or wrong, -1: `[POSITIONS, queries]`."""
    correct = found.correct.double()
    return correct - correct[POSITIONS.index(NONE)]


def _by_position(values: Tensor) -> Numbers:
    return dict(zip(POSITIONS, map(_estimate, values), strict=True))


def _estimate(values: Tensor) -> dict[str, float | None] | None:
    """Over the queries that have a value; None where none has."""
    values = values[~values.isnan()]
    return mean(values)._asdict() if len(values) else None


def _of_base(model: PreTrainedModel, asked: _Queries, batch_size: int) -> dict[str, Numbers]:
    return {
        name: {
            form: _estimate(ask(model, marked, batch_size=batch_size, text=f"{BASE}: {name}, {form}"))
            for form, marked in forms.items()
        }
        for name, forms in asked.items()
    }


def _of_run(run: Run, base: Decoder, asked: _Queries, batch_size: int) -> dict[str, Numbers]:
    model, layer = run.load_unlearned(), run.module.layer
    unlearned = Decoder(model, run.layers(model))
    out = {}
    for name, forms in asked.items():
        found = {
            form: patch(base, unlearned, marked, layer=layer, batch_size=batch_size, text=f"{run.name}: {name}, {form}")
            for form, marked in forms.items()
        }
        tokens = mean(torch.tensor([len(one.spans[-1]) for one in forms[PERTURBED]])).value
        out[name] = {"layer": layer, "last_inserted_tokens": tokens} | summary(found)
    return out


def _base_row(name: str, found: Numbers) -> list[str]:
    return [BASE, name, "", *(_points(found[form]) for form in FORMS), *[""] * 5]


def _rows(model: str, name: str, found: Numbers) -> list[list[str]]:
    return [
        [
            model,
            name,
            position,
            *(_points(found[form]["accuracy"][position]) for form in FORMS),
            *("" if position == NONE else _points(found[of]["brought_back"][position]) for of in _GAINS),
            *(_shown(found[form]["displacement"][position]) for form in FORMS),
        ]
        for position in POSITIONS
    ]


def _points(found: Mapping[str, float | None]) -> str:
    """Points of 100 with their standard error."""
    error = "" if found["standard_error"] is None else f" ± {100 * found['standard_error']:.1f}"
    return f"{100 * (found['value'] or 0):.1f}{error}"


def _shown(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['value']:.2f}"
