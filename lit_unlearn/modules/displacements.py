"""The directions in which forget tokens move the frozen model's states on retain rows, measured before training."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_unlearn import randomness
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch

if TYPE_CHECKING:  # which imports what imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule

_SPAN = 4
"""Forget tokens of a span."""


def with_forget_span(retain: Batch, forget: Batch, *, seed: int) -> tuple[Batch, Tensor]:
    """Retain rows in which a span is replaced by tokens of the forget row beside, and where tokens come after it.

    Place and source are a function of (seed, row); the first tokens of rows stay. Rows of fewer than three tokens, and
    those beside a row of one, stay as they are.

    Args:
        retain: the rows.
        forget: as many rows.
        seed: of the run.

    Returns:
        The rows, and bool `[batch, seq]`.
    """
    ids, after = retain["input_ids"].clone(), torch.zeros_like(retain["input_ids"], dtype=torch.bool)
    for line, number in enumerate(retain["row"].tolist()):
        here, there = (rows["attention_mask"][line].nonzero()[:, 0] for rows in (retain, forget))
        length = min(_SPAN, (len(here) - 1) // 2, len(there) - 1)
        if length < 1:
            continue
        drawn = [randomness.word(number, seed=seed, step=0, stream=stream) for stream in (0, 1)]
        place = 1 + drawn[0] % ((len(here) - length) // 2)
        source = 1 + drawn[1] % (len(there) - length)
        ids[line, here[place : place + length]] = forget["input_ids"][line, there[source : source + length]]
        after[line, here[place + length :]] = True
    return Batch(**{**retain, "input_ids": ids}), after


@torch.no_grad()
def displacement_factors(
    pairs: Iterable[tuple[Batch, Batch]],
    states: Callable[[Batch], Tensor],
    total: Callable[[Tensor], Tensor],
    *,
    directions: int,
    seed: int,
) -> tuple[tuple[float, ...], ...]:
    """Leading eigenvectors of the displacements' second moment, each times the root of its eigenvalue.

    Args:
        pairs: this process's retain and forget batches.
        states: hidden states `[batch, seq, dim]` of the frozen model.
        total: sums a tensor over processes.
        directions: how many there are; fewer where the states have fewer dimensions.
        seed: of the run.

    Returns:
        `[directions, dim]`, the largest first, each with its largest entry above 0, so that all processes agree.

    Raises:
        InputError: no row is long enough, or a state is not finite.
    """
    moment = torch.zeros(1, 1, dtype=torch.float64)
    for retain, forget in pairs:
        replaced, after = with_forget_span(retain, forget, seed=seed)
        counted = after & retain["loss_mask"].bool()
        moved = (states(replaced).double() - states(retain).double())[counted]
        moment = moment.to(moved.device) + moved.T @ moved
    found = total(moment).cpu()
    if not found.isfinite().all() or not found.any():
        raise InputError(
            "model.noise: forget tokens do not move the states of the first retain rows, or not by finite numbers; "
            "check the rows and the model, or set model.noise to GaussianNoise"
        )
    values, vectors = torch.linalg.eigh(found)
    leading = (vectors * values.clamp(min=0).sqrt()).T.flip(0)[:directions]
    largest = leading.gather(1, leading.abs().argmax(dim=1, keepdim=True))
    return tuple(tuple(row) for row in (leading * largest.sign()).tolist())


def check_directions(kept: Sequence[Sequence[float]] | None, needed: int) -> None:
    """A checkpoint holds the directions that a run which resumes from it draws noise along.

    Args:
        kept: of the checkpoint, `[directions, dim]`; None where its run had none.
        needed: how many the noise is drawn along; 0 for none.

    Raises:
        InputError: it does not.
    """
    found = 0 if kept is None else len(kept)
    if needed and found != (min(needed, len(kept[0])) if kept else needed):
        raise InputError(
            f"model.noise: the checkpoint holds {found} directions of displacement, this run has {needed}; resume with "
            "the model.noise and model.noise_scale of the run that wrote it"
        )


def measure_displacements(
    module: "UnlearnModule", pairs: Iterable[dict[str, Batch]], states: Callable[[int, Batch], Tensor]
) -> tuple[tuple[float, ...], ...]:
    """The factors for the noise of a module in a fit, over the processes of its Trainer, which all must call it.

    Args:
        module: its model loaded.
        pairs: the first steps' batches, on its device.
        states: those of the frozen model after a layer.

    Raises:
        InputError: they cannot be measured.
    """
    return displacement_factors(
        ((pair["retain"], pair["forget"]) for pair in pairs),
        partial(states, module.noise_layer),
        module.total,
        directions=module.noise.directions_needed,
        seed=module.seed,
    )
