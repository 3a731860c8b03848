"""Gradient ascent on the likelihood of the forget stream."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class GradientAscent(Loss):
    """Makes forget rows unlikely: -NLL, a mean over the row's predicted tokens.

    With the retain loss NLL it is GradDiff. It has no lower bound: stop early, or take NPO.

    Jang et al. 2023, "Knowledge unlearning for mitigating privacy risks in language models"; Liu et al. 2022,
    "Continual learning and private unlearning" for the difference.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; `frozen` is not read."""
        del frozen
        return -likelihood.batch_nll(updated, batch, mean=True)
