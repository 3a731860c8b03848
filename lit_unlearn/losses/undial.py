"""UNDIAL: self-distillation with lowered logits."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.by_token import Measure
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class UNDIAL(Loss):
    """Distils the frozen model with the right token's logit lowered: -Σ_v q_v log p_v, a mean over predicted tokens.

    p is the updated model's distribution, q = softmax(z_frozen - γ · onehot(right token)) is fixed for the whole
    training: an end that is reached, where gradient ascent has none. The value tends to the entropy of q, not to 0.

    Dong et al. 2024, "UNDIAL: self-distillation with adjusted logits for robust unlearning in large language models",
    NAACL 2025. The default γ is that of the released implementation in open-unlearning, where it is called beta; its
    search is over 3, 10 and 30.

    Differs from the released code: prompts and padding do not count, which there are distilled too, with the logit of
    another token lowered; the mean is over each row's tokens and then over rows.

    Args:
        strength: γ, by how much the logit is lowered, above 0.

    Raises:
        InputError: the strength is not above 0 or not finite.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True

    def __init__(self, strength: float = 10.0) -> None:
        super().__init__()
        if not (math.isfinite(strength) and strength > 0):
            raise InputError(
                f"model.forget.strength: {strength} does not lower a logit; give a finite number above 0, e.g. 10"
            )
        self.strength = strength

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, 0 for a row with nothing to predict."""
        assert updated.logits is not None
        assert frozen is not None
        assert frozen.logits is not None
        labels, logits = likelihood.predicted(batch), frozen.logits

        def lowered(rows: Tensor, positions: Tensor) -> Tensor:
            right = labels[rows, positions + 1][:, None]
            target = functional.precise(logits[rows, positions])
            down = torch.full_like(right, -self.strength, dtype=target.dtype)
            return target.scatter_add(1, right, down).softmax(dim=-1)

        return functional.mean_over_predicted(Measure(_cross_entropy, lowered), updated.logits, labels)


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(functional.precise(logits), target, reduction="none")
