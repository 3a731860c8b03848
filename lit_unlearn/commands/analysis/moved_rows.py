"""Which rows a run moved: retain rows that it should have left alone, forget rows that it should not have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis import drawing
from lit_unlearn.commands.analysis.opened_runs import Run, open_runs
from lit_unlearn.commands.analysis.rows import KEPT, batches, quoted
from lit_unlearn.commands.forget_tokens.similarity import mean_state
from lit_unlearn.commands.report.section import Section
from lit_unlearn.commands.report.style import bar_style, legend, styled
from lit_unlearn.data.rows import Row, TrainedRow
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.likelihood import batch_nll
from lit_unlearn.running.partial_forward import run_layers

_SHOWN = 10
"""Rows of each stream that the text quotes."""
_TEXT = """\
How far each training row's states are from the base's at the steering layer: displacement is |h_unlearned - h_base| / \
|h_base|, h the mean state of a row over its tokens; special tokens and the first one do not count. Losses are the \
mean negative log-likelihood of a row's tokens, in nats.

A retain row that was moved far resembles what is forgotten, or is some of it; a forget row that was hardly moved \
resembles what is retained. It is a row to read, not to delete: displacement does not say that the row does harm."""
_COLUMNS = ("stream", "rows", "displacement", "10 % below", "10 % above", "loss before", "loss after")


class Moved(NamedTuple):
    """What a run did to rows, `[rows]` each."""

    displacement: Tensor
    loss_before: Tensor
    loss_after: Tensor


def analyse(paths: Sequence[Path], words: Sequence[str], *, count: int, batch_size: int) -> tuple[Section, Figure]:
    """Displacement and losses of each row that a run was trained on.

    Args:
        paths: folder of the run.
        words: further options of `fit`.
        count: rows of each stream.
        batch_size: rows that run together.

    Raises:
        InputError: the run cannot be used.
    """
    run = open_runs(paths, words)[0]
    rows = list(run.data.rows_with_texts(count))
    found = moved(run, [Row(row.input_ids, 0, number) for number, row in enumerate(rows)], batch_size=batch_size)
    streams: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        streams.setdefault(f"{row.side}/{row.name}", []).append(place)
    first = [_first(name, places, rows, found.displacement) for name, places in streams.items()]
    table = [_cells(name, Moved(*(one[places] for one in found))) for name, places in streams.items()]
    text = "\n\n".join([_TEXT, *(line for own in first for line in own)])
    figure = _draw({name: found.displacement[places] for name, places in streams.items()})
    return Section("Rows that were moved", text, _COLUMNS, table, {"rows": _numbers(rows, found)}), figure


@torch.inference_mode()
def moved(run: Run, rows: Sequence[Row], *, batch_size: int) -> Moved:
    """What a run did to rows; base and unlearned model are in memory together.

    Args:
        run: a finished one.
        rows: to look at.
        batch_size: rows that run together.
    """
    base, unlearned = run.load_base(), run.load_unlearned()
    special = torch.tensor(sorted(special_tokens(run.tokenizer())), device=base.device)
    parts = []
    for batch in batches(rows, batch_size, base.device, "rows"):
        before, after = (_outputs(run, model, batch) for model in (base, unlearned))
        counted = batch["attention_mask"].bool() & ~torch.isin(batch["input_ids"], special)
        counted[:, 0] = False  # an attention sink, where there is no special token
        losses = [batch_nll(outputs, batch, mean=True).cpu() for outputs in (before, after)]
        parts.append((displacement(after.hidden, before.hidden, counted).cpu(), *losses))
    return Moved(*map(torch.cat, zip(*parts, strict=True)))


def displacement(after: Tensor, before: Tensor, counted: Tensor) -> Tensor:
    """|h_after - h_before| / |h_before|, h a row's mean state over counted tokens, `[batch]`; 0 without such tokens.

    Args:
        after: `[batch, seq, dim]`.
        before: the same.
        counted: bool `[batch, seq]`.

    Example:
        >>> before = torch.tensor([[[9.0, 0.0], [6.0, 8.0], [0.0, 0.0]]])
        >>> after = torch.tensor([[[0.0, 0.0], [6.0, 0.0], [0.0, 4.0]]])
        >>> displacement(after, before, torch.tensor([[False, True, True]]))
        tensor([0.4000])
    """
    new, old = (mean_state(states, counted) for states in (after, before))
    share: Tensor = (new - old).norm(dim=-1) / old.norm(dim=-1).clamp(min=1e-12)
    return share


def _outputs(run: Run, model: PreTrainedModel, batch: Batch) -> Outputs:
    layers: nn.ModuleList = run.layers(model)
    return run_layers(model, layers, batch, layer=run.module.layer, needs_logits=True, start=0)[0]


def _first(name: str, places: Sequence[int], rows: Sequence[TrainedRow], far: Tensor) -> list[str]:
    """The rows that are least as their stream should be."""
    forget = name.startswith("forget/")
    order = sorted(places, key=lambda place: float(far[place]), reverse=not forget)[:_SHOWN]
    head = f"{name}, the {len(order)} rows that were moved {'least' if forget else 'most'}:"
    return [head, *(f"row {rows[p].number}, {float(far[p]):.3f}: {quoted(rows[p].text)}" for p in order)]


def _cells(name: str, found: Moved) -> list[str]:
    far = found.displacement.double()
    tenths = [float(far.quantile(share)) for share in (0.1, 0.9)]
    numbers = (float(far.mean()), *tenths, float(found.loss_before.mean()), float(found.loss_after.mean()))
    return [name, str(len(far)), *(f"{value:.3f}" for value in numbers)]


def _numbers(rows: Sequence[TrainedRow], found: Moved) -> list[dict[str, Any]]:
    columns = {name: values.tolist() for name, values in found._asdict().items()}
    return [
        {
            "stream": f"{row.side}/{row.name}",
            "row": row.number,
            "text": row.text[:KEPT],
            **{name: values[place] for name, values in columns.items()},
        }
        for place, row in enumerate(rows)
    ]


@styled
def _draw(streams: Mapping[str, Tensor]) -> Figure:
    """A histogram of displacement for each stream."""
    figure, axes = drawing.panels(len(streams))
    handles = {}
    most = max(float(far.max()) for far in streams.values())
    bins = torch.linspace(0, most + 1e-9, 31).tolist()
    for place, ((name, far), own) in enumerate(zip(streams.items(), axes, strict=True)):
        handles[name] = own.hist(far, bins=bins, **bar_style(place + 1))[2]
        own.set(xlabel="displacement", ylabel="rows")
    legend(figure, handles)
    return figure
