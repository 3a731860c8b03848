"""Which rows stand in the wrong stream: scores of every row, measured on rows whose class is changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import KEPT, quoted
from lit_unlearn.commands.analysis.strays.accuracy import Accuracy, accuracy, planted
from lit_unlearn.commands.analysis.strays.features import MOST_PARAMETERS
from lit_unlearn.commands.analysis.strays.figure import draw
from lit_unlearn.commands.analysis.strays.labelled import LabelledRow, class_names, labelled_rows
from lit_unlearn.commands.analysis.strays.nearest import NEIGHBOURS
from lit_unlearn.commands.analysis.strays.planting import DRAWS, SHARE
from lit_unlearn.commands.analysis.strays.scores import SCORES, TRIVIAL, Trusted, all_scores, measured
from lit_unlearn.commands.analysis.strays.trusted import TrustedRow, read_trusted, tokenised
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.commands.report.section import Section
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.runs import layout

_SHOWN = 20
"""Listed rows that the text quotes."""
_TEXT = f"""\
A stray is a row to read, not to delete: a low score says that a row resembles the rows of another class, not that it \
harms.

Classes are the forget topics and retain. Each score is measured on your own rows: {SHARE:.0%} of them get another \
class, in {DRAWS} draws, and the average precision says how well the score finds them; chance is their share. Strays \
that are there already count as mistakes, so that the true precision is a little higher.

Nearest rows: the share of the {NEIGHBOURS} nearest rows, by the base's mean states after the steering layer, that \
have the row's class. Tokens: how much likelier a row's tokens are in its own class than in the likeliest other, per \
token (naive Bayes, out of fold). Classifier: log-probability of the class, of a classifier on mean states trained on \
other rows.

Gradient dot, gradient cosine, influence and TracIn compare the gradient of that classifier on a row with those on \
reference rows, {{references}}; by class takes the least sum over the references of a class instead of the sum over \
all (Nguyen-Duc et al. 2023)."""
_COLUMNS = ("score", "average precision", "deviation over draws", "by chance")


def analyse(
    paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int, trusted: Path | None = None
) -> tuple[Section, Figure]:
    """Scores every row of the streams, and how well each score finds rows whose class was changed.

    Args:
        paths: folder of a run, or a config, by name or path.
        words: further options of `fit`.
        count: rows of each stream.
        batch_size: rows that run together.
        trusted: file of rows whose class is known; None takes all other rows as references.

    Raises:
        InputError: the run, the config or the file cannot be used, or a class has too few rows.
    """
    run = Run(paths[0], words)
    names = class_names(run)
    known = None if trusted is None else read_trusted(trusted, names)
    rows, tokenizer = labelled_rows(run, count), run.tokenizer()
    tokens, labels = [one.row.input_ids for one in rows], torch.tensor([row.label for row in rows])
    represent = Representations(run.load_first_layers(), tokenizer, run.module.layer, run.module.decoder_layers)
    references = None if known is None else _references(known, run, represent, batch_size)
    states = mean_states(represent, tokens, batch_size)
    read = measured(states, tokens, sorted(special_tokens(tokenizer)), len(names), references)
    draws, scores = planted(read, tokens, labels), all_scores(read, labels)
    found = accuracy(draws)
    shown = found.best or TRIVIAL[0]
    order = ranked(scores[shown], found)
    text = "\n\n".join([_TEXT.format(references=_described(known)), *_findings(found, rows, names, scores, order)])
    numbers = _numbers(found, rows, names, scores, read.inputs.shape[1] - 1, states.shape[1])
    figure = draw(draws, found, shown, scores[shown], labels, names)
    return Section("Strays in the streams", text, _COLUMNS, _table(found), numbers), figure


def mean_states(represent: Representations, rows: Sequence[Sequence[int]], batch_size: int) -> Tensor:
    """The mean state of each row, `[rows, dim]`; rows of similar length run together.

    Args:
        represent: of the base.
        rows: token ids of each.
        batch_size: rows that run together.
    """
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    starts = tqdm(range(0, len(rows), batch_size), desc="mean states", unit="batch")
    found = torch.cat([represent.of_rows([rows[p] for p in order[start : start + batch_size]]) for start in starts])
    return found[torch.tensor(order).argsort()]


def ranked(scores: Tensor, found: Accuracy) -> list[int]:
    """Places of listed rows, the most suspicious first.

    Args:
        scores: those of the best score.
        found: its threshold.
    """
    order = scores.argsort(stable=True)
    return [int(place) for place in order[: int((scores <= found.threshold).sum())]]


def _references(known: Sequence[TrustedRow], run: Run, represent: Representations, batch_size: int) -> Trusted:
    longest = max(source.max_length for own in (run.data.forget, run.data.retain) for source in own.values())
    states = mean_states(represent, tokenised(known, run.tokenizer(), longest), batch_size)
    return Trusted(states, torch.tensor([row.label for row in known]))


def _described(known: Sequence[TrustedRow] | None) -> str:
    return "all other rows as labelled" if known is None else f"{len(known)} trusted ones"


def _findings(
    found: Accuracy, rows: Sequence[LabelledRow], names: Sequence[str], scores: dict[str, Tensor], order: Sequence[int]
) -> list[str]:
    """What was found, and the first of the listed rows."""
    if found.best is None:
        return [
            "These streams are not distinguishable: no score that needs no trusted rows finds planted rows more than "
            "twice as well as chance. Nothing is listed."
        ]
    best = found.best
    lines = [
        f"{rows[p].stream}, row {rows[p].row.number}, {float(scores[best][p]):.3f}: {quoted(rows[p].row.text)}"
        for p in order[:_SHOWN]
    ]
    more = f" The first {_SHOWN} are here, all in {layout.SECTION}." if len(order) > _SHOWN else ""
    return [
        f"Listed are {len(order)} of {len(rows)} rows of {', '.join(names)}, ordered by {best}: those with at most "
        f"{found.threshold:.3f}, a score up to which at least half of the rows had been planted.{more}",
        *lines,
    ]


def _table(found: Accuracy) -> list[list[str]]:
    return [[name, f"{found.mean(name):.2f}", f"{found.deviation(name):.3f}", f"{found.chance:.2f}"] for name in SCORES]


def _numbers(
    found: Accuracy,
    rows: Sequence[LabelledRow],
    names: Sequence[str],
    scores: dict[str, Tensor],
    width: int,
    dim: int,
) -> dict[str, Any]:
    """Everything, unrounded; each row with its scores."""
    listed = (scores[found.best] <= found.threshold).tolist() if found.best else [False] * len(rows)
    values = {name: one.tolist() for name, one in scores.items()}
    return {
        "told_apart": found.best is not None,
        "best": found.best,
        "threshold": found.threshold if found.best else None,
        "chance": found.chance,
        "average_precision": found.precision,
        "dimensions": {"states": dim, "classifier": width, "most_parameters": MOST_PARAMETERS},
        "rows": [
            {
                "stream": one.stream,
                "row": one.row.number,
                "class": names[one.label],
                "text": one.row.text[:KEPT],
                "listed": listed[place],
                "scores": {name: values[name][place] for name in SCORES},
            }
            for place, one in enumerate(rows)
        ],
    }
