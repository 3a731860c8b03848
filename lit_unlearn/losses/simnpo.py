"""SimNPO: negative preference optimization without a reference model."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class SimNPO(Loss):
    """Makes forget rows unlikely in themselves, not against the frozen model: -(2/β) log σ(β · NLL - γ).

    NLL is a mean over the row's predicted tokens. Fan et al. 2024, "Simplicity prevails: rethinking negative preference
    optimization for LLM unlearning".

    Differs from code in circulation: each row has a sigmoid of its own, there is none of a batch's mean.

    Args:
        beta: β, the inverse temperature.
        margin: γ, which is not multiplied by β.

    Raises:
        InputError: beta is not above 0.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True

    def __init__(self, beta: float = 0.1, margin: float = 0.0) -> None:
        super().__init__()
        self.beta = likelihood.checked_beta(beta)
        self.margin = margin

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; `frozen` is not read."""
        del frozen
        nll = likelihood.batch_nll(updated, batch, mean=True)
        return functional.preference_loss(nll - self.margin / self.beta, self.beta)
