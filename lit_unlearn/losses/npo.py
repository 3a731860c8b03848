"""NPO: negative preference optimization."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class NPO(Loss):
    """Makes forget rows less likely than they were, ever more gently: -(2/β) log σ(β (NLL_updated - NLL_frozen)).

    Zhang et al. 2024, "Negative preference optimization: from catastrophic collapse to effective unlearning". NLL is
    the row's sum, as there, or its mean over predicted tokens, as in the paper that introduces Random Noise
    Augmentation.

    Differs from code in circulation: each row has a sigmoid of its own, there is none of a batch's mean; the frozen
    model sees the attention mask.

    Args:
        beta: β, the inverse temperature; towards 0 the loss becomes gradient ascent.
        length_normalized: divide NLL by the number of the row's predicted tokens.

    Raises:
        InputError: beta is not above 0.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def __init__(self, beta: float = 0.1, *, length_normalized: bool = False) -> None:
        super().__init__()
        self.beta = likelihood.checked_beta(beta)
        self.length_normalized = length_normalized

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        lost = likelihood.likelihood_lost(updated, frozen, batch, mean=self.length_normalized)
        return functional.preference_loss(lost, self.beta)
