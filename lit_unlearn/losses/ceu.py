"""CE-U: cross entropy to the model's own distribution without the right token."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lit_unlearn.errors import check_at_least
from lit_unlearn.losses import functional, likelihood
from lit_unlearn.losses.by_token import Measure
from lit_unlearn.losses.contract import Batch, Loss, Outputs


class CEU(Loss):
    """Moves each token's probability to the model's other choices: -Σ_v q_v log p_v, a mean over predicted tokens.

    p is the updated model's distribution; q is p without the right token, rescaled to 1: the softmax of the same logits
    with the right one at -∞. q has no gradient. The gradient is that of -log(1 - p of the right token), unlikelihood,
    and fades as the token becomes unlikely; the value tends to the entropy of the other choices, not to 0.

    Yang 2025, "CE-U: cross entropy unlearning". As there and in the released implementation in open-unlearning the
    first token of an answer is left out, so that the model still begins an answer.

    Differs from the released code: the mean is over each row's tokens and then over rows, not over all tokens of a
    batch.

    Args:
        ignored_tokens: how many labelled tokens at the beginning of each row are left out. In a row without a prompt
            the first of them is the row's first token, which nothing predicts.

    Raises:
        InputError: the number is below 0.
    """

    stream = "forget"
    falls: ClassVar[bool] = False
    needs_logits: ClassVar[bool] = True

    def __init__(self, ignored_tokens: int = 1) -> None:
        super().__init__()
        check_at_least("model.forget.ignored_tokens", ignored_tokens, 0)
        self.ignored_tokens = ignored_tokens

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, 0 for a row with nothing to predict; `frozen` is not read."""
        del frozen
        assert updated.logits is not None
        labelled = batch["labels"] != functional.IGNORED_LABEL
        first = labelled.cumsum(dim=-1) <= self.ignored_tokens
        labels = likelihood.predicted(batch).masked_fill(first, functional.IGNORED_LABEL)
        to_others = Measure(_to_others, lambda rows, positions: labels[rows, positions + 1])
        return functional.mean_over_predicted(to_others, updated.logits, labels)


def _to_others(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross entropy of logits `[tokens, vocab]` to their own distribution without the label, `[tokens]`.

    It is H(q) - log(1 - p of the label), and with q fixed its gradient is that of the second term alone. Written so it
    is not a difference p - q of numbers that are all but equal where the label is unlikely.
    """
    own, right = functional.precise(logits), labels[:, None]
    others = own.scatter(1, right, -torch.inf)
    left: Tensor = torch.special.entr(others.detach().softmax(dim=-1)).sum(dim=-1)
    return left - logsigmoid(others.logsumexp(dim=-1) - own.gather(1, right).squeeze(1))
