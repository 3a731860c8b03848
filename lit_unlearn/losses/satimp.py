"""SatImp: gradient ascent weighted by saturation and importance."""

from typing import ClassVar

import torch
from torch import Tensor

from lit_unlearn.losses import likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class SatImp(Loss):
    """Makes tokens of middling probability unlikely: -p^β1 (1 - p)^β2 · NLL, a mean over the row's predicted tokens.

    p is the updated model's probability of the token; the weight has no gradient. p^β1 is the saturation, which leaves
    alone what is already unlikely; (1 - p)^β2 is the importance, which leaves alone what is all but certain, such as
    the rest of a word. With β2 = 0 it is WGA.

    Yang et al. 2025, "Exploring criteria of loss reweighting to enhance LLM unlearning", ICML. The defaults are those
    of the released implementation in open-unlearning, which names them as the paper's.

    Differs from the released code: the mean is over each row's tokens and then over rows, not over all tokens of a
    batch.

    Args:
        beta1: exponent of the saturation, 0 or more.
        beta2: exponent of the importance, 0 or more.

    Raises:
        InputError: an exponent is below 0 or not finite.
    """

    stream = "forget"
    falls: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = True

    def __init__(self, beta1: float = 5.0, beta2: float = 1.0) -> None:
        super().__init__()
        self.beta1 = likelihood.checked_exponent("beta1", beta1)
        self.beta2 = likelihood.checked_exponent("beta2", beta2)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; `frozen` is not read."""
        del frozen
        return likelihood.weighted_ascent(updated, batch, self._weight)

    def _weight(self, nll: Tensor) -> Tensor:
        # Rounding can leave a certain token's NLL below 0, where 1 - p has no power.
        importance = -torch.expm1(-nll.clamp(min=0.0))
        return (-self.beta1 * nll).exp() * importance**self.beta2
