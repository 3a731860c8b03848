"""WGA: weighted gradient ascent."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class WGA(Loss):
    """Makes likely tokens of forget rows unlikely: -p^α · NLL, a mean over the row's predicted tokens.

    p is the updated model's probability of the token, and its power is a weight without gradient: what is already
    unlikely is left alone, where plain gradient ascent pushes it most. With α = 0 it is GradientAscent.

    Wang et al. 2025, "Rethinking LLM unlearning objectives: a gradient perspective and go beyond", ICLR. The default α
    is that of the released implementation in open-unlearning, where it is called beta.

    Differs from the released code: the mean is over each row's tokens and then over rows, not over all tokens of a
    batch.

    Args:
        exponent: α, 0 or more.

    Raises:
        InputError: the exponent is below 0 or not finite.
    """

    stream = "forget"
    falls: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = True

    def __init__(self, exponent: float = 1.0) -> None:
        super().__init__()
        self.exponent = likelihood.checked_exponent("exponent", exponent)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; `frozen` is not read."""
        del frozen
        return likelihood.weighted_ascent(updated, batch, lambda nll: (-self.exponent * nll).exp())
