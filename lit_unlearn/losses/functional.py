"""The mathematics of losses and measurements: pure functions of tensors, one value per row.

Shapes: `hidden` `[batch, seq, dim]`, `mask` `[batch, seq]` (1 where a token counts), results `[batch]`. A row without
any counted token gives 0. Sums run in float32, or in float64 where the input is.

Logits are read a few tokens at a time (`by_token`), so that no tensor `[batch, seq, vocab]` is ever held.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, logsigmoid, pad

from lit_unlearn.losses.by_token import Measure, by_token
from lit_unlearn.losses.contract import Logits

IGNORED_LABEL = -100
"""Label of a position that predicts nothing, as in transformers and `cross_entropy`."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` `[batch, seq]` over each row's counted tokens.

    Example:
        >>> masked_mean(torch.tensor([[1.0, 3.0, 9.0], [5.0, 5.0, 5.0]]), torch.tensor([[1, 1, 0], [0, 0, 0]]))
        tensor([2., 0.])
    """
    counted = torch.where(mask.bool(), values, 0.0)
    return counted.sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def mean_squared_distance(hidden: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens and dimensions of (hidden - target)²; `target` broadcasts to `hidden`.

    Example:
        >>> mean_squared_distance(torch.ones(1, 2, 4), torch.zeros(4), torch.tensor([[1, 1]]))
        tensor([1.])
    """
    # Masked before squaring: what is no number at padding must not reach the gradient either.
    difference = torch.where(mask[..., None].bool(), precise(hidden) - precise(target), 0.0)
    return masked_mean(difference.square().mean(dim=-1), mask)


def weighted_squared_distance(hidden: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over tokens, weighted, and dimensions of (hidden - target)²; `target` broadcasts to `hidden`.

    Args:
        hidden: `[batch, seq, dim]`.
        target: likewise.
        weights: `[batch, seq]`, 0 or more; 0 at tokens that do not count.

    Example:
        >>> states = torch.tensor([[[1.0], [3.0]]])
        >>> weighted_squared_distance(states, torch.zeros(1), torch.tensor([[3.0, 1.0]]))
        tensor([3.])
    """
    weights = precise(weights)
    difference = torch.where(weights[..., None] > 0, precise(hidden) - precise(target), 0.0)
    total = (weights * difference.square().mean(dim=-1)).sum(dim=-1)
    whole = weights.sum(dim=-1)
    return total / torch.where(whole > 0, whole, 1.0)


def mean_distance(hidden: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens of the Euclidean distance ‖hidden - target‖, whose gradient is 0 where it is 0.

    Example:
        >>> mean_distance(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2), torch.tensor([[1]]))
        tensor([5.])
    """
    difference = torch.where(mask[..., None].bool(), precise(hidden) - precise(target), 0.0)
    return masked_mean(difference.norm(dim=-1), mask)


def mean_positive_cosine(hidden: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens of max(0, cos(hidden, target)), both `[batch, seq, dim]`.

    Example:
        >>> states = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        >>> mean_positive_cosine(states, torch.tensor([[[3.0, 4.0], [-1.0, 0.0]]]), torch.tensor([[1, 1]]))
        tensor([0.3000])
    """
    ours, theirs = (torch.where(mask[..., None].bool(), precise(states), 0.0) for states in (hidden, target))
    return masked_mean(torch.cosine_similarity(ours, theirs, dim=-1).relu(), mask)


def mean_of(values: Iterable[Tensor]) -> Tensor:
    """The mean of tensors of one shape.

    Example:
        >>> mean_of([torch.tensor([1.0]), torch.tensor([3.0])])
        tensor([2.])
    """
    return torch.stack(list(values)).mean(dim=0)


def mean_norm(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens of the Euclidean norm of the hidden state.

    Example:
        >>> mean_norm(torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]), torch.tensor([[1, 0]]))
        tensor([5.])
    """
    return masked_mean(precise(hidden).norm(dim=-1), mask)


def mean_cosine(hidden: Tensor, direction: Tensor, mask: Tensor) -> Tensor:
    """Mean over counted tokens of the cosine between the hidden state and its row's direction `[batch, dim]`.

    Example:
        >>> mean_cosine(torch.tensor([[[2.0, 0.0]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1]]))
        tensor([1.])
    """
    return masked_mean(torch.cosine_similarity(precise(hidden), precise(direction)[:, None, :], dim=-1), mask)


def without_first(mask: Tensor, attention_mask: Tensor) -> Tensor:
    """`mask` with 0 at each row's first real token, whatever the padding side.

    Example:
        >>> without_first(torch.tensor([[0, 1, 1], [1, 1, 0]]), torch.tensor([[0, 1, 1], [1, 1, 0]]))
        tensor([[0, 0, 1],
                [0, 1, 0]])
    """
    return mask * (attention_mask.cumsum(dim=-1) > 1)


def first_token_share(hidden: Tensor, mask: Tensor) -> Tensor:
    """Share of each row's summed squares that its first counted token holds: attention sinks carry most of it.

    Example:
        >>> first_token_share(torch.tensor([[[3.0], [1.0]]]), torch.tensor([[1, 1]]))
        tensor([0.9000])
    """
    squares = torch.where(mask.bool(), precise(hidden).square().sum(dim=-1), 0.0)
    first = squares.gather(1, mask.bool().int().argmax(dim=-1, keepdim=True)).squeeze(1)
    return first / squares.sum(dim=-1).clamp(min=torch.finfo(squares.dtype).tiny)


def negative_log_likelihood(logits: Logits, labels: Tensor, *, mean: bool = True) -> Tensor:
    """Negative log-likelihood of each row's predicted tokens, in nats.

    Args:
        logits: `[batch, seq, vocab]`; position t predicts the label at t + 1.
        labels: `[batch, seq]`, `IGNORED_LABEL` where nothing is to be predicted.
        mean: over the predicted tokens; else their sum.

    Example:
        >>> round(float(negative_log_likelihood(torch.zeros(1, 2, 2), torch.tensor([[-100, 1]]))), 4)
        0.6931
    """
    values = token_nll(logits, labels)
    return masked_mean(values, labels[:, 1:] != IGNORED_LABEL) if mean else values.sum(dim=-1)


def token_nll(logits: Logits, labels: Tensor) -> Tensor:
    """Negative log-likelihood of each predicted token, in nats, and 0 where nothing is to be predicted.

    Args:
        logits: `[batch, seq, vocab]`; position t predicts the label at t + 1.
        labels: `[batch, seq]`, `IGNORED_LABEL` where nothing is to be predicted.

    Returns:
        `[batch, seq - 1]`.

    Example:
        >>> token_nll(torch.zeros(1, 3, 2), torch.tensor([[-100, -100, 1]]))
        tensor([[0.0000, 0.6931]])
    """
    losses = Measure(_cross_entropy, lambda rows, positions: labels[rows, positions + 1])
    return by_token(losses, labels[:, 1:] != IGNORED_LABEL, logits)


def mean_over_predicted(measure: Measure, logits: Logits, labels: Tensor) -> Tensor:
    """Mean over each row's predicted tokens of a value of the logits that predict them, `[batch]`.

    Args:
        measure: what the value is; rows and positions are those of the logits.
        logits: `[batch, seq, vocab]`; position t predicts the label at t + 1.
        labels: `[batch, seq]`, `IGNORED_LABEL` where nothing is to be predicted.

    Example:
        >>> largest = Measure(lambda logits, _: logits.amax(dim=-1), lambda rows, _: rows)
        >>> mean_over_predicted(largest, torch.tensor([[[1.0, 2.0], [9.0, 9.0]]]), torch.tensor([[-100, 1]]))
        tensor([2.])
    """
    counted = labels[:, 1:] != IGNORED_LABEL
    return masked_mean(by_token(measure, counted, logits), counted)


def kl_divergence(logits: Logits, target: Logits, mask: Tensor) -> Tensor:
    """Mean over counted tokens of KL(p_target ‖ p), in nats.

    Args:
        logits: `[batch, seq, vocab]`.
        target: likewise, without gradient.
        mask: `[batch, seq]`.

    Example:
        >>> kl_divergence(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]).log1p(), torch.tensor([[1]]))
        tensor([0.1927])
    """
    divergences = Measure(_divergence, lambda rows, positions: target[rows, positions])
    return masked_mean(by_token(divergences, mask.bool(), logits), mask)


def mean_squared_log_ratio(logits: Logits, target: Logits, mask: Tensor) -> Tensor:
    """Mean over counted tokens and the vocabulary of (log p - log p_target)².

    Args:
        logits: `[batch, seq, vocab]`.
        target: likewise, without gradient.
        mask: `[batch, seq]`.

    Example:
        >>> mean_squared_log_ratio(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.tensor([[1]]))
        tensor([0.])
    """
    distances = Measure(_squared_log_ratio, lambda rows, positions: target[rows, positions])
    return masked_mean(by_token(distances, mask.bool(), logits), mask)


def preference_loss(margin: Tensor, beta: float) -> Tensor:
    """-(2/β) log σ(β · margin), elementwise: 0 for a large margin, -2 · margin far below 0.

    Example:
        >>> preference_loss(torch.tensor([-1e4, 0.0, 1e4]), beta=0.1)
        tensor([2.0000e+04, 1.3863e+01, -0.0000e+00])
    """
    return -2 / beta * logsigmoid(beta * margin)


def predicted_labels(labels: Tensor, attention_mask: Tensor, loss_mask: Tensor) -> Tensor:
    """Labels of the counted tokens that a real token precedes: after left padding the first has nothing to predict it.

    Example:
        >>> predicted_labels(torch.tensor([[0, 7, 8]]), torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 1]]))
        tensor([[-100, -100,    8]])
    """
    preceded = pad(attention_mask[:, :-1], (1, 0))
    return labels.masked_fill((preceded == 0) | (loss_mask == 0), IGNORED_LABEL)


def precise(values: Tensor) -> Tensor:
    """`values` in at least float32, so that sums over half-precision states keep their digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(precise(logits), labels, reduction="none")


def _divergence(logits: Tensor, target: Tensor) -> Tensor:
    ours, theirs = _log_probabilities(logits), _log_probabilities(target)
    return kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1)


def _squared_log_ratio(logits: Tensor, target: Tensor) -> Tensor:
    return (_log_probabilities(logits) - _log_probabilities(target)).square().mean(dim=-1)


def _log_probabilities(logits: Tensor) -> Tensor:
    return precise(logits).log_softmax(dim=-1)
