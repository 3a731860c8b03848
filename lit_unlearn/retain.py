"""Retain losses: what keeps the updated model as it was on everything else."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn import functional
from lit_unlearn.loss import Batch, Loss, Outputs


class RepresentationMSE(Loss):
    """Mean over tokens and dimensions of (h_updated - h_frozen)², the retain loss of RMU, Adaptive RMU and RSV.

    With Random Noise Augmentation h_frozen carries Gaussian noise; the loss does not know of it.

    Differs from the authors' code: padding never counts.
    """

    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert frozen is not None
        return functional.mean_squared_distance(updated.hidden, frozen.hidden, batch["loss_mask"])


class NLL(Loss):
    """Mean negative log-likelihood of the row's predicted tokens, in nats; the retain loss of GradDiff.

    It does not read the frozen model, so Random Noise Augmentation cannot act on it.
    """

    needs_logits: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; a row with nothing to predict gives 0."""
        del frozen
        assert updated.logits is not None
        labels = functional.predicted_labels(batch["labels"], batch["attention_mask"], batch["loss_mask"])
        return functional.negative_log_likelihood(updated.logits, labels)
