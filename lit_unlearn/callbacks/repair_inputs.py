"""What trained matrices are given on forget and on retain rows."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.repairs.matrices import Matrix, in_order
from lit_unlearn.repairs.moments import SecondMoment
from lit_unlearn.running.hooks import recorded_inputs
from lit_unlearn.running.partial_forward import run_layers

Called = list[tuple[nn.Module, Tensor]]


class RepairRows(NamedTuple):
    """The rows on which a model is repaired, this process's share, on the module's device."""

    forget: Sequence[Batch]
    retain: Sequence[Batch]


def ordered(module: UnlearnModule, matrices: Sequence[Matrix], batch: Batch) -> list[list[Matrix]]:
    """The matrices in the order of the forward; those that are given the same inputs together."""
    return in_order(matrices, _called(module, [matrix.module for matrix in matrices], batch, layer=_last(matrices)))


@torch.no_grad()
def input_moments(module: UnlearnModule, rows: RepairRows, matrix: Matrix) -> tuple[Tensor, Tensor]:
    """The second moments of a matrix' forget and retain inputs in the updated model as it is.

    All processes must call it.

    Args:
        module: in a Trainer.
        rows: of this process.
        matrix: the matrix.

    Returns:
        The mean of x xᵀ per counted token over forget rows and over retain rows, float64 `[in, in]`.

    Raises:
        InputError: the inputs are not `[batch, seq, in]`.
    """
    forget, retain = (_moment(module, batches, matrix) for batches in rows)
    return forget, retain


def _moment(module: UnlearnModule, batches: Sequence[Batch], matrix: Matrix) -> Tensor:
    moment = SecondMoment(matrix.width, module.device)
    for batch in batches:
        called = _called(module, [matrix.module], batch, layer=matrix.layer)
        counted = _counted(module, batch)
        inputs = called[0][1]
        if inputs.shape != (*counted.shape, matrix.width):
            raise InputError(
                f"Repairs: {matrix.name} is given inputs {list(inputs.shape)}, not {[*counted.shape, matrix.width]} "
                "(rows, tokens, width), so that it is not known which tokens count; leave it out of model.trainable"
            )
        moment.add(inputs, counted)
    moment.total, moment.tokens = module.total(moment.total), module.total(moment.tokens)
    return moment.mean()


def _called(module: UnlearnModule, owners: Sequence[nn.Module], batch: Batch, *, layer: int) -> Called:
    """The calls of some modules in a forward up to a layer."""
    forward = partial(run_layers, module.updated, module.layers, batch, layer=layer, needs_logits=False, start=0)
    with torch.no_grad(), recorded_inputs(owners) as called:
        outside_step(module.trainer, forward)
    return called


def _counted(module: UnlearnModule, batch: Batch) -> Tensor:
    """The tokens that losses on representations count: without inserted ones, and without the first where so asked."""
    if module.first_token:
        return batch["loss_mask"]
    return functional.without_first(batch["loss_mask"], batch["attention_mask"])


def _last(matrices: Sequence[Matrix]) -> int:
    return max(matrix.layer for matrix in matrices)
