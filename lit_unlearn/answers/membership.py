"""Whether a text was trained on, by its likelihood: membership scores, higher for members, and what they tell."""

import zlib
from collections.abc import Sequence
from statistics import fmean

from scipy.stats import mannwhitneyu

SHARE = 0.4
"""Of the tokens, the least likely that Min-K % reads; what MUSE takes (Shi et al. 2024, arXiv 2407.06460)."""
_LEAST_VARIANCE = 1e-6


def loss_score(logprobs: Sequence[float]) -> float:
    """LOSS (Yeom et al. 2018): the mean log-probability of the tokens, in nats.

    Args:
        logprobs: of the answer's tokens, the end of the turn included.
    """
    return fmean(logprobs)


def zlib_score(logprobs: Sequence[float], text: str) -> float:
    """The mean log-probability divided by the bytes of the compressed text (Carlini et al. 2021).

    Args:
        logprobs: of the answer's tokens, the end of the turn included.
        text: the answer.
    """
    return fmean(logprobs) / len(zlib.compress(text.encode()))


def min_k(logprobs: Sequence[float], share: float = SHARE) -> float:
    """Min-K % (Shi et al. 2023): the mean log-probability of the least likely tokens, in nats; of one at least.

    Args:
        logprobs: of the answer's tokens, without the end of the turn.
        share: of the tokens.

    Example:
        >>> min_k([-1.0, -4.0, -2.0, -3.0, -5.0])
        -4.5
    """
    return fmean(sorted(logprobs)[: max(1, int(share * len(logprobs)))])


def min_k_plus(
    logprobs: Sequence[float], means: Sequence[float], variances: Sequence[float], share: float = SHARE
) -> float:
    """Min-K %++ (Zhang et al. 2024): as `min_k`, of (log p − μ) / σ, where μ and σ² are over the vocabulary.

    Args:
        logprobs: of the answer's tokens, without the end of the turn.
        means: μ = Σ_v p_v log p_v at each of them.
        variances: σ² = Σ_v p_v (log p_v)² − μ²; at least 1e-6 is taken.
        share: of the tokens.

    Example:
        >>> min_k_plus([-3.0, -1.0], [-1.0, -1.0], [4.0, 4.0])
        -1.0
    """
    standardised = [
        (own - mean) / max(variance, _LEAST_VARIANCE) ** 0.5
        for own, mean, variance in zip(logprobs, means, variances, strict=True)
    ]
    return min_k(standardised, share)


def auc(unseen: Sequence[float], trained: Sequence[float]) -> float:
    """How often an unseen text scores higher than one that was trained on, 0 to 1; 0.5 where they are alike.

    0 where the trained texts are known by heart. It is 1 minus the AUC of an attack on the trained texts.

    Args:
        unseen: scores of texts that no model has seen.
        trained: scores of texts that the base was trained on, the forget set.

    Example:
        >>> auc([1.0, 2.0], [2.0, 3.0])
        0.125
    """
    return float(mannwhitneyu(unseen, trained).statistic) / (len(unseen) * len(trained))


def privacy_leakage(found: float, retrained: float) -> float:
    """PrivLeak in percent: 0 where a model gives away as much as one that never saw the forget set (MUSE).

    Negative where the forget set is still known, positive where it is conspicuously unlikely.

    Args:
        found: `auc` of the model.
        retrained: `auc` of the retain-only model.

    Example:
        >>> privacy_leakage(0.25, 0.5)
        -50.0
    """
    return 100 * (found - retrained) / retrained
