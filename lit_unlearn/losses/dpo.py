"""DPO: direct preference optimization of refusals over forget text."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class DPO(Loss):
    """Prefers an answer such as "I don't know" to the forget row: -(2/β) log σ(β (lost(forget) - lost(preferred))).

    lost = NLL_updated - NLL_frozen, of the row and of the answer that the DataModule samples for it. Rafailov et al.
    2023, "Direct preference optimization: your language model is secretly a reward model"; for unlearning Zhang et al.
    2024, as in NPO. NLL is the row's sum, or its mean over predicted tokens, as in the paper that introduces Random
    Noise Augmentation.

    Differs from code in circulation: the answer's terms are those of both models and don't cancel; each pair has a
    sigmoid of its own.

    Args:
        beta: β, the inverse temperature.
        length_normalized: divide NLL by the number of predicted tokens, of row and answer each.

    Raises:
        InputError: beta is not above 0.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True
    needs_frozen: ClassVar[bool] = True
    needs_preferred: ClassVar[bool] = True

    def __init__(self, beta: float = 0.1, *, length_normalized: bool = False) -> None:
        super().__init__()
        self.beta = likelihood.checked_beta(beta)
        self.length_normalized = length_normalized

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, one value per pair."""
        assert frozen is not None
        assert updated.preferred is not None
        mean = self.length_normalized
        forget = likelihood.likelihood_lost(updated, frozen, batch, mean=mean)
        preferred = likelihood.likelihood_lost(updated.preferred, frozen.preferred, batch["preferred"], mean=mean)
        return functional.preference_loss(forget - preferred, self.beta)
