"""Refusal: fine-tuning on answers such as "I don't know" to the questions of forget rows."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import likelihood
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class Refusal(Loss):
    """Teaches the answer that the DataModule holds for each forget row: its NLL, a mean over its predicted tokens.

    With `data.alternatives` the answers stand after the rows' questions. Maini et al. 2024, "TOFU: a task of fictitious
    unlearning for LLMs": the term of forgotten rows in its preference optimization (IDK), beside NLL of rows to retain.

    Differs from the authors' code: NLL is a mean over each answer's tokens, then over answers, there over all tokens of
    a batch.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True
    needs_preferred: ClassVar[bool] = True
    needs_rows: ClassVar[bool] = False

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, in nats; neither the forget rows nor `frozen` are read."""
        del frozen
        assert updated.preferred is not None
        return likelihood.batch_nll(updated.preferred, batch["preferred"], mean=True)
