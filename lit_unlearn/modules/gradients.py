"""Gradients of the forget and of the retain loss, kept apart so that one does not undo the other."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.distributed.sharding import gathered
from lit_unlearn.errors import InputError
from lit_unlearn.losses.functional import precise

Rule = Literal["sum", "pcgrad", "project_forget"]
"""How the two gradients become one; `sum` is that of the loss itself."""


def check_kept_apart(rule: Rule, strategy: object, precision: str) -> None:
    """Two gradients can be kept apart under this strategy and in this precision.

    Args:
        rule: how they become one.
        strategy: the Trainer's.
        precision: the Trainer's.

    Raises:
        InputError: they cannot.
    """
    if rule == "sum":
        return
    if isinstance(strategy, FSDP1):
        raise InputError(
            f"model.gradients: {rule} needs two backward passes in a step, which FSDP1 does not allow; take "
            "trainer/fsdp2.yaml, or set it to sum"
        )
    if precision == "16-mixed":
        raise InputError(
            f"model.gradients: {rule} does not scale gradients as trainer.precision 16-mixed needs it; set the "
            "precision to bf16-mixed"
        )


def combined(forget: Sequence[Tensor], retain: Sequence[Tensor], rule: Rule) -> list[Tensor]:
    """The gradient of a step; the sum of both where they do not conflict, that is, where their product is not below 0.

    In a conflict `pcgrad` (Yu et al. 2020, arXiv 2001.06782) takes out of each gradient its component along the other's
    original one; `project_forget` only out of the forget gradient. Products run over all trained parameters together.
    A positive weight of the retain loss may be in the retain gradient or be multiplied afterwards: projections scale.

    Args:
        forget: the forget loss' gradient of each trained parameter, over all processes and accumulated batches.
        retain: the same of the weighted retain loss.
        rule: what is done in a conflict.

    Example:
        >>> forget, retain = [torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]
        >>> combined(forget, retain, "sum"), combined(forget, retain, "project_forget")
        ([tensor([0., 1.])], [tensor([-0.5000,  1.5000])])
        >>> combined(forget, retain, "pcgrad")
        [tensor([0.5000, 1.5000])]
    """
    product = _dot(forget, retain)
    zero = torch.zeros_like(product)
    conflict = product.clamp(max=0)
    off_retain = _ratio(conflict, _dot(retain, retain))
    off_forget = _ratio(conflict, _dot(forget, forget)) if rule == "pcgrad" else zero
    if rule == "sum":
        off_retain = zero
    return [
        ((1 - off_forget).to(own.dtype) * own) + ((1 - off_retain).to(other.dtype) * other)
        for own, other in zip(forget, retain, strict=True)
    ]


def cosine(forget: Sequence[Tensor], retain: Sequence[Tensor]) -> Tensor:
    """The cosine between both gradients, over all trained parameters; 0 where one of them is 0.

    Example:
        >>> float(cosine([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, -3.0])]))
        0.0
    """
    norms = (_dot(forget, forget) * _dot(retain, retain)).sqrt()
    return _ratio(_dot(forget, retain), norms)


def _ratio(value: Tensor, by: Tensor) -> Tensor:
    return torch.where(by > 0, value / by.clamp(min=torch.finfo(by.dtype).tiny), torch.zeros_like(value))


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """The product over all parameters, in at least float32; of sharded ones over all processes."""
    parts = [gathered((precise(one) * precise(other)).sum()) for one, other in zip(first, second, strict=True)]
    return torch.stack(parts).sum()


def gradients_of(loss: Tensor, parameters: Sequence[Tensor], *, sharded: bool) -> list[Tensor]:
    """The loss' gradient of each parameter, 0 where it does not depend on it.

    Args:
        loss: a scalar whose graph is freed.
        parameters: whose `grad` stays as it is.
        sharded: under FSDP2 the gradients are averaged over processes on their way into `grad`; otherwise they are this
            process's, and nothing that awaits `grad` (DDP) sees them.
    """
    if not sharded:
        found: Sequence[Tensor | None] = torch.autograd.grad(loss, parameters, allow_unused=True)
    else:
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        found = [parameter.grad for parameter in parameters]
        for parameter, own in zip(parameters, before, strict=True):
            parameter.grad = own
    return [
        torch.zeros_like(parameter) if one is None else one for one, parameter in zip(found, parameters, strict=True)
    ]


class SplitGradients:
    """Accumulates both gradients over the batches of a step.

    Args:
        rule: how they become one.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._forget: list[Tensor] = []
        self._retain: list[Tensor] = []

    def restart(self) -> None:
        """Begins a step."""
        self._forget, self._retain = [], []

    def add(self, forget: Sequence[Tensor], retain: Sequence[Tensor]) -> None:
        """Adds the gradients of a batch."""
        self._forget = _added(self._forget, forget)
        self._retain = _added(self._retain, retain)

    @property
    def sums(self) -> tuple[list[Tensor], list[Tensor]]:
        """Those of the forget and of the retain loss."""
        return self._forget, self._retain


def _added(before: list[Tensor], more: Sequence[Tensor]) -> list[Tensor]:
    return [one + other for one, other in zip(before, more, strict=True)] if before else list(more)
