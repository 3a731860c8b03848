"""Sharpness-aware minimisation: steps by the gradient at nearby weights, where the loss is higher."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from lit_unlearn.errors import InputError, check_above


class SAM(AdamW):
    """AdamW on the gradient at w + ρ g / ‖g‖, g the gradient at w (Foret et al. 2021, arXiv 2010.01412).

    Weights in a flat region are harder to move back by relearning; with NPO it is NPO-SAM (Fan et al. 2025, arXiv
    2502.05374). A step runs forward and backward twice. The norm is over all trained parameters.

    Differs from the authors' code of NPO-SAM: g is the gradient of the whole loss, the weighted retain loss included,
    not of the forget loss alone.

    Args:
        params: what is trained.
        lr: learning rate.
        rho: ρ, the distance to the nearby weights, above 0.
        betas: of AdamW.
        eps: of AdamW.
        weight_decay: of AdamW.

    Raises:
        InputError: ρ cannot be.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 5e-5,
        *,
        rho: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        check_above("model.optimizer.rho", rho, 0)
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.rho = rho
        self.defaults["rho"] = rho  # which a resumed run is compared on
        for group in self.param_groups:
            group["rho"] = rho

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Steps by the gradient at nearby weights.

        Args:
            closure: computes the loss and its gradient, twice.

        Raises:
            InputError: there is no closure, though there are gradients: they would not be taken at other weights.
        """
        if closure is None:
            if any(parameter.grad is not None for parameter in self._trained()):
                raise InputError("SAM.step: it takes gradients twice; give the closure that computes the loss")
            return super().step()
        with torch.enable_grad():
            loss = closure()
        before = {parameter: parameter.clone() for parameter in self._trained() if parameter.grad is not None}
        norm = torch.stack([parameter.grad.norm() for parameter in before]).norm()  # type: ignore[union-attr]
        scale = self.rho / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        for parameter in before:
            parameter.add_(parameter.grad * scale)
        with torch.enable_grad():
            closure()
        for parameter, value in before.items():
            parameter.copy_(value)
        super().step()
        return loss

    def _trained(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]


def check_steps_twice(optimizer: Optimizer, *, batches: int, sharded: bool, precision: str) -> None:
    """SAM can take the gradient of a step twice.

    Args:
        optimizer: of the run.
        batches: that are accumulated in a step.
        sharded: whether no process holds all of the trained parameters.
        precision: the Trainer's.

    Raises:
        InputError: it cannot.
    """
    if not isinstance(optimizer, SAM):
        return
    if batches > 1:
        raise InputError(
            f"trainer.accumulate_grad_batches: with {batches} SAM would take the first gradients at other weights than "
            "the last; set it to 1 and raise data.batch_size"
        )
    if precision == "16-mixed":
        raise InputError(
            "model.optimizer: SAM does not scale gradients as trainer.precision 16-mixed needs it; set the "
            "precision to bf16-mixed"
        )
    if sharded:
        raise InputError("model.optimizer: SAM needs whole gradients in every process; take trainer/ddp.yaml")
