"""Relearning: the opposite of forgetting, to find out how thin the forgetting is."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class Relearning(Loss):
    """Makes forget rows likely again: NLL, a mean over the row's predicted tokens, in nats; plain fine-tuning.

    With the retain loss NoLoss nothing else is trained. If a few rows bring back what they do not state, it had been
    hidden, not removed.

    Hu et al. 2025, "Unlearning or obfuscating? Jogging the memory of unlearned LLMs via benign relearning".
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, 0 for a row with nothing to predict; `frozen` is not read."""
        del frozen
        return likelihood.batch_nll(updated, batch, mean=True)
