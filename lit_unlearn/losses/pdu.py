"""PDU: flat logits, the forget loss of primal-dual unlearning."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.by_token import Measure
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class PDU(Loss):
    """Flattens the logits z that predict forget tokens: (max z - mean z)², a mean over the row's predicted tokens.

    It is 0 where all tokens are equally likely. It does not ask which token is the right one.

    Entesari et al. 2025, "Constrained entropic unlearning: a primal-dual framework for large language models". There it
    is minimised under the constraint that the retain loss is at most ε, whose multiplier is the weight of the retain
    loss: the callback RetainConstraint. As a square of logits it is large, so that the weight is large too: it begins
    at 50 or 100 in the released implementation in open-unlearning.

    Differs from the released code: the logits are those that predict a counted token, not those at its position, which
    predict the next one; the mean is over each row's tokens and then over rows.
    """

    stream = "forget"
    needs_logits: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, 0 for a row with nothing to predict; `frozen` is not read."""
        del frozen
        assert updated.logits is not None
        labels = likelihood.predicted(batch)
        squares = Measure(_squared_height, lambda rows, positions: labels[rows, positions + 1])
        return functional.mean_over_predicted(squares, updated.logits, labels)


def _squared_height(logits: Tensor, labels: Tensor) -> Tensor:
    """(max - mean)² of logits `[tokens, vocab]`, `[tokens]`."""
    del labels
    precise = functional.precise(logits)
    return (precise.amax(dim=-1) - precise.mean(dim=-1)).square()
