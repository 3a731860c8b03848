"""Unlearning Depth Score: how deep in a model answers were unlearned, layer by layer (arXiv 2605.24614)."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

THRESHOLD = 0.05
"""Nats per token that a layer's states of a model without the knowledge must cost to show that the layer holds it."""


class Depth(NamedTuple):
    """Of some answers."""

    score: float | None
    """Mean over the answers that some layer holds, 0 (intact in every layer that held it) to 1 (gone from all);
    None where there are none."""
    rows: int
    """Answers that count."""
    left_out: int
    """Answers that no layer holds by the threshold."""


def knowledge_layers(reference: Sequence[float], *, threshold: float = THRESHOLD) -> list[int]:
    """The layers that hold an answer: those whose states of the retain-only model cost more than the threshold.

    Args:
        reference: by layer, nats per token that are lost with the retain-only model's states after it.
        threshold: nats per token.

    Example:
        >>> knowledge_layers([0.01, 0.4, 2.0])
        [1, 2]
    """
    return [layer for layer, lost in enumerate(reference) if lost > threshold]


def answer_depth(
    reference: Sequence[float], unlearned: Sequence[float], *, threshold: float = THRESHOLD
) -> float | None:
    """The score of one answer: of what is lost with the retain-only model's states, how much is with the unlearned's.

    Summed over the layers that hold the answer, where no more can be lost than with the retain-only model's.

    Args:
        reference: by layer, nats per token that are lost with the retain-only model's states after it.
        unlearned: the same with the unlearned model's.
        threshold: nats per token above which a layer holds the answer.

    Returns:
        0 to 1; None where no layer holds the answer.

    Example:
        >>> answer_depth([0.0, 1.0, 3.0], [0.5, 0.5, 6.0])
        0.875
    """
    layers = knowledge_layers(reference, threshold=threshold)
    if not layers:
        return None
    # Δ · clip(Δ' / Δ, 0, 1) = clip(Δ', 0, Δ), Δ being positive
    kept = sum(min(max(unlearned[layer], 0.0), reference[layer]) for layer in layers)
    return kept / sum(reference[layer] for layer in layers)


def depth(
    reference: Sequence[Sequence[float]], unlearned: Sequence[Sequence[float]], *, threshold: float = THRESHOLD
) -> Depth:
    """The Unlearning Depth Score of some answers.

    Args:
        reference: by answer as `answer_depth`.
        unlearned: the same.
        threshold: the same.

    Example:
        >>> depth([[0.0, 2.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]])
        Depth(score=0.5, rows=1, left_out=1)
    """
    found = [answer_depth(*both, threshold=threshold) for both in zip(reference, unlearned, strict=True)]
    known = [one for one in found if one is not None]
    return Depth(fmean(known) if known else None, len(known), len(found) - len(known))
