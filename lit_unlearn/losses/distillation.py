"""Distillation of the frozen model on forget rows, for a model whose weights were disturbed."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class Distillation(Loss):
    """Mean over tokens of KL(p_frozen ‖ p_updated) of forget rows, in nats: LogitKL on the other stream.

    The second stage of UNDO: the frozen model is one that has unlearned, the updated one that model with noise on its
    weights (`ShrinkAndPerturb`), which learns to answer as the frozen one does, on forget and on retain rows. Without
    noise it is 0 before training, and nothing is learnt.

    Lee et al. 2025, "Distillation robustifies unlearning", arXiv 2506.06278.

    Differs from the authors' code: a mean over each row's tokens and then over rows, where theirs is one mean over all
    tokens of a batch; the last token of a row counts too.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert updated.logits is not None
        assert frozen is not None
        assert frozen.logits is not None
        return functional.kl_divergence(updated.logits, frozen.logits, batch["loss_mask"])
