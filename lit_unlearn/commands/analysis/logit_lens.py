"""Logit lens: up to which layer the answers to forget questions are still there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.pairs import queries, spread
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import accuracy_axis, legend, line_style, styled
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch
from lit_unlearn.questions.batches import Query, QueryBatch, QueryBatches, query_loader
from lit_unlearn.questions.scores import evaluate_choices, of_letters
from lit_unlearn.questions.sets import DEFAULT
from lit_unlearn.questions.source import Question
from lit_unlearn.questions.statistics import Estimate, accuracy
from lit_unlearn.running.partial_forward import logit_lens

_TEXT = """\
Accuracy (%, with its standard error) on the questions to forget, had the model ended after a layer: the layer's \
states at the last position, through the model's own final norm and head, and of the letters " A" to " D" the \
likeliest. The last row is the model itself; 25 is guessing.

Where an unlearned model is right after a middle layer and wrong at its end, the knowledge is still read and only \
the way out is closed. Where it is at chance throughout and the base is not, nothing shows of it in the letters. \
That is no proof of removal: a layer may hold what its states do not yet say in letters. See nostalgebraist 2020, \
"Interpreting GPT: the logit lens"."""

ByLayer = list[Estimate]
"""Accuracy as each layer's states have it."""


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Accuracy after each layer of the base and of each run's unlearned model.

    Args:
        paths: folders of runs; the first one's questions to forget are asked.
        words: further options of `fit`.
        count: questions of each set.
        batch_size: queries that run together, of the longest; of shorter ones more.

    Raises:
        InputError: a run cannot be used, or asks nothing that is to be forgotten.
    """
    runs = open_runs(paths, words)
    asked = _asked(runs[0], count)
    found = {BASE: _of_model(runs[0], runs[0].load_base(), asked, batch_size, BASE)}
    for run in runs:
        found[run.name] = _of_model(run, run.load_unlearned(), asked, batch_size, run.name)
    rows = [row for name in asked for row in _rows(name, [of[name] for of in found.values()])]
    numbers = {model: {name: _numbers(one) for name, one in of.items()} for model, of in found.items()}
    return Section("Logit lens", _TEXT, ("questions", "layer", *found), rows, numbers), _draw(found, list(asked))


@torch.inference_mode()
def by_layer(
    model: PreTrainedModel, layers: nn.ModuleList, asked: Sequence[Query], *, batch_size: int, text: str
) -> ByLayer:
    """Accuracy as each layer's states have it.

    Args:
        model: in eval mode, on the device where it runs.
        layers: its decoder layers.
        asked: the queries.
        batch_size: queries that run together, of the longest.
        text: what the progress bar says.
    """
    longest = max(len(query.input_ids) for query in asked)
    loader = query_loader(QueryBatches(asked, max_tokens=batch_size * longest, packed=False))
    correct = torch.cat([_correct(model, layers, batch) for batch in tqdm(loader, desc=text, unit="batch")], dim=1)
    return [accuracy(of_layer) for of_layer in correct]


def _correct(model: PreTrainedModel, layers: nn.ModuleList, batch: QueryBatch) -> Tensor:
    """Whether each query of a batch is answered correctly after each layer: bool `[layers, rows]`, on the CPU."""
    moved = {name: value.to(model.device) for name, value in cast(dict[str, Tensor], batch).items()}
    asked = cast(QueryBatch, moved)
    answers = [
        evaluate_choices(of_letters(logits.float(), asked), asked)["correct"]
        for logits in logit_lens(model, layers, cast(Batch, moved))
    ]
    return torch.stack(answers).cpu()


def _asked(run: Run, count: int) -> dict[str, list[Question]]:
    """The questions to forget, as they are."""
    found = {
        variant.questions: spread(questions, count)
        for variant, questions in run.data.asked.items()
        if variant.perturbation == DEFAULT and variant.questions in run.to_forget
    }
    if not found:
        raise InputError(
            f"{run.path}: none of the question sets is to be forgotten ({', '.join(run.to_forget)}); name one so in "
            "data.evaluation.questions, or name the sets to the callback: PerturbationRobustness.forget"
        )
    return found


def _of_model(
    run: Run, model: PreTrainedModel, asked: Mapping[str, Sequence[Question]], batch_size: int, name: str
) -> dict[str, ByLayer]:
    layers, tokenizer = run.layers(model), run.tokenizer()
    return {
        one: by_layer(
            model, layers, queries(questions, tokenizer, model.config), batch_size=batch_size, text=f"{name}, {one}"
        )
        for one, questions in asked.items()
    }


def _rows(name: str, found: Sequence[ByLayer]) -> list[list[str]]:
    """A row for each layer, a column for each model."""
    return [
        [name, str(layer), *(_percent(estimate) for estimate in of_models)]
        for layer, of_models in enumerate(zip(*found, strict=True))
    ]


def _percent(found: Estimate) -> str:
    error = "" if found.standard_error is None else f" ± {100 * found.standard_error:.1f}"
    return f"{100 * found.value:.1f}{error}"


def _numbers(found: ByLayer) -> dict[str, list[float | None]]:
    return {"accuracy": [one.value for one in found], "accuracy_error": [one.standard_error for one in found]}


@styled
def _draw(found: Mapping[str, Mapping[str, ByLayer]], names: Sequence[str]) -> Figure:
    """A panel for each set, a line for each model."""
    figure, panels = drawing.panels(len(names))
    handles = {}
    for axes, name in zip(panels, names, strict=True):
        for place, (model, of) in enumerate(found.items()):
            values = [100 * one.value for one in of[name]]
            (handles[model],) = axes.plot(range(len(values)), values, **line_style(place))
        accuracy_axis(axes)
        axes.set(title=name, xlabel="layer")
    panels[0].set_ylabel("accuracy (%)")
    legend(figure, handles)
    return figure
