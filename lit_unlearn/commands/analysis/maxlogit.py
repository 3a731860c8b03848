"""MaxLogit: how sure a model is of what it writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.association import correlation, shown
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.pairs import queries, spread
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import legend, line_style, styled
from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import QueryBatch, QueryBatches, query_loader
from lit_unlearn.questions.scores import choice_scores, evaluate_choices
from lit_unlearn.questions.source import Question, prompt
from lit_unlearn.running.decoding import decode

TOKENS = 15
_BINS = 16
_TEXT = f"""\
The RNA paper's MaxLogit: {TOKENS} tokens are decoded greedily after each query, up to the end-of-text token; the \
largest logit of each step counts. Mean and standard deviation are over steps of all queries. A model whose states \
are destroyed is less sure of what it writes. Accuracy is that on the same questions; the correlation, of mean \
MaxLogit and accuracy, is over the models."""
_COLUMNS = ("queries", "model", "mean MaxLogit", "standard deviation", "accuracy (%)", "correlation over models")


class Sureness(NamedTuple):
    """Of one model on one set of queries."""

    max_logits: Tensor
    """`[steps of all queries]`."""
    accuracy: float


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """MaxLogit of the base and of each run's unlearned model.

    Args:
        paths: folders of runs; the first one's questions are asked.
        words: further options of `fit`.
        count: questions of each set.
        batch_size: queries that are decoded together.

    Raises:
        InputError: a run cannot be used.
    """
    runs = open_runs(paths, words)
    asked = _asked(runs[0], count)
    found = {BASE: _of_model(runs[0].load_base(), runs[0].tokenizer(), asked, batch_size, BASE)}
    for run in runs:
        found[run.name] = _of_model(run.load_unlearned(), run.tokenizer(), asked, batch_size, run.name)
    related = {name: _related([of[name] for of in found.values()]) for name in asked}
    numbers = {
        "correlation": related,
        "models": {model: {name: _numbers(one) for name, one in of.items()} for model, of in found.items()},
    }
    rows = [_row(name, model, found[model][name], related[name]) for name in asked for model in found]
    return Section("MaxLogit", _TEXT, _COLUMNS, rows, numbers), _draw(found, list(asked))


def sureness(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], *, batch_size: int
) -> Sureness:
    """What a model's largest logits are after some questions, and whether it answers them.

    Args:
        model: in eval mode, on the device where it runs.
        tokenizer: the model's.
        questions: of one set.
        batch_size: queries that are decoded together.
    """
    written = decode(model, tokenizer, [prompt(one) for one in questions], max_new_tokens=TOKENS, batch_size=batch_size)
    return Sureness(
        torch.tensor([value for one in written for value in one.max_logits]), _accuracy(model, tokenizer, questions)
    )


@torch.inference_mode()
def _accuracy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> float:
    correct: list[bool] = []
    for batch in query_loader(QueryBatches(queries(questions, tokenizer, model.config), max_tokens=8192, packed=False)):
        moved = cast(QueryBatch, {name: value.to(model.device) for name, value in batch.items()})
        correct += evaluate_choices(choice_scores(model, moved), moved)["correct"].tolist()
    return sum(correct) / len(correct)


def _asked(run: Run, count: int) -> dict[str, list[Question]]:
    """Questions of every set, as they are and perturbed; controls are left out."""
    if not run.data.asked:
        raise InputError(f"{run.path}: there are no questions; give some, e.g. --data.evaluation.questions=…")
    return {str(variant): spread(found, count) for variant, found in run.data.asked.items() if not variant.control}


def _of_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Mapping[str, Sequence[Question]],
    batch_size: int,
    name: str,
) -> dict[str, Sureness]:
    shown_sets = tqdm(asked.items(), desc=name, unit="set")
    return {one: sureness(model, tokenizer, questions, batch_size=batch_size) for one, questions in shown_sets}


def _related(found: Sequence[Sureness]) -> float | None:
    """The correlation of mean MaxLogit and accuracy over models."""
    means = torch.stack([one.max_logits.mean() for one in found])
    return correlation(means, torch.tensor([one.accuracy for one in found]))


def _numbers(found: Sureness) -> dict[str, float]:
    return {
        "mean": found.max_logits.mean().item(),
        "standard_deviation": found.max_logits.std().item(),
        "steps": len(found.max_logits),
        "accuracy": found.accuracy,
    }


def _row(name: str, model: str, found: Sureness, related: float | None) -> list[str]:
    numbers = _numbers(found)
    return [
        name,
        model,
        f"{numbers['mean']:.2f}",
        f"{numbers['standard_deviation']:.2f}",
        f"{100 * found.accuracy:.1f}",
        shown(related),
    ]


@styled
def _draw(found: Mapping[str, Mapping[str, Sureness]], names: Sequence[str]) -> Figure:
    """A panel for each set, a histogram for each model."""
    figure, panels = drawing.panels(len(names), width=3.2)
    every = torch.cat([one.max_logits for of in found.values() for one in of.values()])
    edges = torch.linspace(every.min().item(), every.max().item(), _BINS + 1)
    handles = {}
    for axes, name in zip(panels, names, strict=True):
        for place, (model, of) in enumerate(found.items()):
            shares = torch.histogram(of[name].max_logits, edges).hist / len(of[name].max_logits)
            (handles[model],) = axes.plot((edges[1:] + edges[:-1]) / 2, shares, **line_style(place))
        axes.set(title=name, xlabel="MaxLogit", ylim=(0, None))
    panels[0].set_ylabel("share of steps")
    legend(figure, handles)
    return figure
