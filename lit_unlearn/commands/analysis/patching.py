"""Activation patching: some hidden states of an unlearned model replaced by the base's on the same text."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis.insertion import Marked
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import masked_mean, mean_norm, precise
from lit_unlearn.questions.batches import QueryBatch, QueryBatches, query_loader
from lit_unlearn.questions.scores import choice_scores, evaluate_choices
from lit_unlearn.running.hooks import patched_output
from lit_unlearn.running.partial_forward import positions, run_layers

NONE, INSERTED, BEFORE, AFTER, LAST, OTHERS, ALL = POSITIONS = (
    "none",
    "inserted",
    "before",
    "after",
    "last",
    "all but inserted",
    "all",
)
"""Where states are replaced: `after` is whatever follows the first inserted token and is not inserted itself."""
DISTANCES = range(-8, 33)
"""Places of tokens, counted from the last inserted one."""


class Decoder(NamedTuple):
    """A model, in eval mode and on the device where it runs, and its decoder layers."""

    model: PreTrainedModel
    layers: nn.ModuleList


class Patched(NamedTuple):
    """The effect of replacing states, and how far they were from what replaces them; on the CPU, NaN where none is.

    Norms and distances leave the first token out: where it is an attention sink, its scale is another.
    """

    correct: Tensor
    """bool `[POSITIONS, queries]`."""
    distance: Tensor
    """`[POSITIONS, queries]`: between the two models' states, a mean over these positions."""
    profile: Tensor
    """`[DISTANCES, queries]`: between the two models' states at each place."""
    norm: Tensor
    """`[queries]`: of the base's states, a mean over all positions."""


@torch.inference_mode()
def patch(
    base: Decoder, unlearned: Decoder, marked: Sequence[Marked], *, layer: int, batch_size: int, text: str
) -> Patched:
    """Asks an unlearned model with the base's states after a layer at each of POSITIONS; queries by their number.

    Args:
        base: the model before unlearning.
        unlearned: the model after it.
        marked: the queries.
        layer: index of the layer.
        batch_size: queries that run together, of the longest; of shorter ones more.
        text: what the progress bar says.
    """
    spans = {one.query.number: one.spans for one in marked}
    parts, numbers = [], []
    for batch in _batches(marked, batch_size, base.model.device, text):
        numbers += batch["number"].tolist()
        inserted = [spans[number] for number in numbers[-len(batch["number"]) :]]
        parts.append(_patch(base, unlearned, batch, inserted, layer))
    order = torch.tensor(numbers).argsort()
    return Patched(*(torch.cat(part, dim=-1)[..., order] for part in zip(*parts, strict=True)))


@torch.inference_mode()
def ask(model: PreTrainedModel, marked: Sequence[Marked], *, batch_size: int, text: str) -> Tensor:
    """Whether an unpatched model answers queries correctly: bool `[queries]` by their number, on the CPU.

    Args:
        model: in eval mode, on the device where it runs.
        marked: the queries.
        batch_size: queries that run together, of the longest; of shorter ones more.
        text: what the progress bar says.
    """
    found = [(batch["number"], _correct(model, batch)) for batch in _batches(marked, batch_size, model.device, text)]
    numbers, correct = (torch.cat(part).cpu() for part in zip(*found, strict=True))
    return correct[numbers.argsort()]


def masks(attention_mask: Tensor, spans: Sequence[Sequence[range]]) -> Tensor:
    """The positions `[POSITIONS, batch, seq]` of queries that are padded to the left.

    Args:
        attention_mask: `[batch, seq]`.
        spans: the inserted tokens of each query, counted from the end.

    Example:
        >>> masks(torch.ones(1, 5), [[range(-4, -2)]])[:, 0].long()
        tensor([[0, 0, 0, 0, 0],
                [0, 1, 1, 0, 0],
                [1, 0, 0, 0, 0],
                [0, 0, 0, 1, 1],
                [0, 0, 0, 0, 1],
                [1, 0, 0, 1, 1],
                [1, 1, 1, 1, 1]])
    """
    real = attention_mask.bool()
    place = _places(attention_mask)
    inserted = torch.stack(
        [torch.isin(place, place.new_tensor([at for span in found for at in span])) for found in spans]
    )
    before = place < place.new_tensor([[found[0].start] for found in spans])
    found = {
        NONE: torch.zeros_like(real),
        INSERTED: inserted,
        BEFORE: before,
        AFTER: ~before & ~inserted,
        LAST: (place == -1).expand_as(real),
        OTHERS: ~inserted,
        ALL: torch.ones_like(real),
    }
    return torch.stack([found[name] & real for name in POSITIONS])


def _patch(
    base: Decoder, unlearned: Decoder, batch: QueryBatch, spans: Sequence[Sequence[range]], layer: int
) -> Patched:
    theirs, own = (
        run_layers(*one, cast(Batch, batch), layer=layer, needs_logits=False, start=0)[0].hidden
        for one in (base, unlearned)
    )
    where = masks(batch["attention_mask"], spans)
    correct = []
    for mask in where:
        with patched_output(unlearned.layers[layer], mask, theirs):
            correct.append(_correct(unlearned.model, batch))
    counted = positions(batch["attention_mask"]) > 0
    distance = (precise(own) - precise(theirs)).norm(dim=-1)
    found = Patched(
        torch.stack(correct),
        torch.stack([_mean(distance, mask & counted) for mask in where]),
        _profile(distance, counted, spans),
        mean_norm(theirs, counted),
    )
    return Patched(*(values.cpu() for values in found))


def _profile(distance: Tensor, counted: Tensor, spans: Sequence[Sequence[range]]) -> Tensor:
    """`[DISTANCES, batch]` of values `[batch, seq]`."""
    last = counted.new_tensor([[found[-1].stop - 1] for found in spans], dtype=torch.long)
    place = _places(counted) - last
    return torch.stack([_mean(distance, counted & (place == at)) for at in DISTANCES])


def _places(mask: Tensor) -> Tensor:
    """Of the tokens of a batch `[batch, seq]`, counted from the end: `[seq]`."""
    return torch.arange(-mask.shape[-1], 0, device=mask.device)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's counted tokens, NaN where there are none."""
    return torch.where(mask.any(dim=-1), masked_mean(values, mask), torch.nan)


def _correct(model: PreTrainedModel, batch: QueryBatch) -> Tensor:
    return evaluate_choices(choice_scores(model, batch), batch)["correct"]


def _batches(marked: Sequence[Marked], size: int, device: torch.device, text: str) -> Iterator[QueryBatch]:
    """Batches of queries on a device, with a progress bar."""
    longest = max(len(one.query.input_ids) for one in marked)
    loader = query_loader(QueryBatches([one.query for one in marked], max_tokens=size * longest, packed=False))
    for batch in tqdm(loader, desc=text, unit="batch"):
        moved = {name: value.to(device) for name, value in cast(dict[str, Tensor], batch).items()}
        yield cast(QueryBatch, moved)
