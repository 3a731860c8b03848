"""How likely a model finds the rows of a batch: what the losses on logits have in common."""

import math
from collections.abc import Callable

from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Outputs


def batch_nll(outputs: Outputs, batch: Batch, *, mean: bool) -> Tensor:
    """NLL of each row, `[batch]`, in nats; a row with nothing to predict gives 0.

    Args:
        outputs: of one model, with logits.
        batch: the rows.
        mean: over the row's predicted tokens; else their sum.
    """
    assert outputs.logits is not None
    return functional.negative_log_likelihood(outputs.logits, predicted(batch), mean=mean)


def predicted(batch: Batch) -> Tensor:
    """The labels `[batch, seq]` of the tokens that losses on likelihood predict, `IGNORED_LABEL` elsewhere."""
    return functional.predicted_labels(batch["labels"], batch["attention_mask"], batch["loss_mask"])


def weighted_ascent(updated: Outputs, batch: Batch, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """-weight · NLL of each row, `[batch]`, a mean over its predicted tokens; a row with nothing to predict gives 0.

    Args:
        updated: outputs of the model being trained.
        batch: the rows.
        weight: takes the NLL of tokens in nats, returns their weights, of the same shape; neither has a gradient.
    """
    assert updated.logits is not None
    labels = predicted(batch)
    nll = functional.token_nll(updated.logits, labels)
    return -functional.masked_mean(weight(nll.detach()) * nll, labels[:, 1:] != functional.IGNORED_LABEL)


def likelihood_lost(updated: Outputs, frozen: Outputs | None, batch: Batch, *, mean: bool) -> Tensor:
    """NLL_updated - NLL_frozen of each row, `[batch]`; exactly 0 before training.

    Args:
        updated: outputs of the model being trained.
        frozen: outputs of the model before training.
        batch: the rows.
        mean: over the row's predicted tokens; else their sum.
    """
    assert frozen is not None
    now, before = (batch_nll(outputs, batch, mean=mean) for outputs in (updated, frozen))
    return now - before


def checked_beta(beta: float) -> float:
    """The inverse temperature of a preference loss, if it is one.

    Raises:
        InputError: it is not above 0.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise InputError(f"model.forget.beta: {beta} is not an inverse temperature; give a number above 0, e.g. 0.1")
    return beta


def checked_exponent(name: str, value: float) -> float:
    """The exponent of a probability in a forget loss, if it is one.

    Raises:
        InputError: it is below 0 or not finite.
    """
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"model.forget.{name}: {value} is not an exponent of a weight; give 0 or more, e.g. 1")
    return value
