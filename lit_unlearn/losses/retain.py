"""Retain losses: what keeps the updated model as it was on everything else."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional, layered, likelihood
from lit_unlearn.losses.contract import Batch, Logits, Loss, Outputs, counted_states


class RepresentationMSE(Loss):
    """Mean over tokens and dimensions of (h_updated - h_frozen)², the retain loss of RMU, Adaptive RMU and RSV.

    With Random Noise Augmentation h_frozen carries Gaussian noise; the loss does not know of it.

    Differs from the authors' code: padding never counts.
    """

    stream = "retain"
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert frozen is not None
        return functional.mean_squared_distance(updated.hidden, frozen.hidden, counted_states(batch))


class RepresentationNorm(layered.LayeredLoss):
    """Mean over tokens and layers of ‖h_updated - h_frozen‖, the retain loss of circuit breakers.

    Zou et al. 2024, "Improving alignment and robustness with circuit breakers". Not squared, it pulls as strongly on
    small displacements as on large ones. With Random Noise Augmentation h_frozen after the steering layer carries
    Gaussian noise; the loss does not know of it.

    Differs from the authors' method: the mean is taken per row and then over rows; padding never counts.

    Args:
        lower_layers: indices of further layers that are read, below the steering layer and from the first trained one
            on.
    """

    stream = "retain"

    def of_layer(self, updated: Tensor, frozen: Tensor, mask: Tensor) -> Tensor:
        """Returns `[batch]`."""
        return functional.mean_distance(updated, frozen, mask)


class LogitKL(Loss):
    """Mean over tokens of KL(p_frozen ‖ p_updated), in nats.

    With Random Noise Augmentation the noise has run on from `noise_layer` to p_frozen; the loss does not know of it.

    Differs from the authors' code: padding never counts, and both models see the attention mask.
    """

    stream = "retain"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        return functional.kl_divergence(*_logits(updated, frozen), batch["loss_mask"])


class LogitMSE(Loss):
    """Mean over tokens and vocabulary of (log p_updated - log p_frozen)².

    With Random Noise Augmentation the noise has run on from `noise_layer` to p_frozen; the loss does not know of it.

    Differs from the authors' code: padding never counts, and both models see the attention mask.
    """

    stream = "retain"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        return functional.mean_squared_log_ratio(*_logits(updated, frozen), batch["loss_mask"])


class NLL(Loss):
    """Mean negative log-likelihood of the row's predicted tokens, in nats; the retain loss of GradDiff.

    It does not read the frozen model, so Random Noise Augmentation cannot act on it.
    """

    stream = "retain"
    needs_logits: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; a row with nothing to predict gives 0."""
        del frozen
        return likelihood.batch_nll(updated, batch, mean=True)


def _logits(updated: Outputs, frozen: Outputs | None) -> tuple[Logits, Logits]:
    assert updated.logits is not None
    assert frozen is not None
    assert frozen.logits is not None
    return updated.logits, frozen.logits
