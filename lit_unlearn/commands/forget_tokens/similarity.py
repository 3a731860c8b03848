"""How much n-grams resemble the document that they come from, in a model's hidden states: pure functions."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lit_unlearn.losses.functional import precise
from lit_unlearn.questions.similar_ngrams import CLASSES, Similarity


def mean_state(hidden: Tensor, mask: Tensor) -> Tensor:
    """The representation of each row: the mean of its counted tokens' hidden states.

    Args:
        hidden: `[batch, seq, dim]`.
        mask: `[batch, seq]`, 1 where a token counts.

    Returns:
        At least float32 `[batch, dim]`.

    Example:
        >>> mean_state(torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[0, 1, 1]]))
        tensor([[2., 3.]])
    """
    counted = torch.where(mask[..., None].bool(), precise(hidden), 0.0)
    return counted.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def similarity(ngrams: Tensor, documents: Tensor) -> Tensor:
    """The cosine of each n-gram's representation `[ngrams, dim]` and its own document's, in the same order.

    Example:
        >>> similarity(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, -3.0]]))
        tensor([ 1., -1.])
    """
    return torch.cosine_similarity(ngrams, documents, dim=-1)


def mean_scores(found: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The score of each text; one that was found several times has the mean.

    Example:
        >>> mean_scores([("a", 0.5), ("b", 0.25), ("a", 1.0)])
        {'a': 0.75, 'b': 0.25}
    """
    every: dict[str, list[float]] = {}
    for text, score in found:
        every.setdefault(text, []).append(score)
    return {text: sum(scores) / len(scores) for text, scores in every.items()}


def ranked(scores: Mapping[str, float], count: int) -> dict[Similarity, list[str]]:
    """The texts with the highest scores, with those closest to the mean of all, and with the lowest, best first.

    Example:
        >>> ranked({"a": 0.1, "b": 0.5, "c": 0.6, "d": 0.9}, 1)
        {'most': ['d'], 'mean': ['b'], 'least': ['a']}
    """
    mean = sum(scores.values()) / max(1, len(scores))
    distance = {
        "most": lambda text: -scores[text],
        "mean": lambda text: abs(scores[text] - mean),
        "least": lambda text: scores[text],
    }
    return {name: sorted(scores, key=lambda text: (distance[name](text), text))[:count] for name in CLASSES}
