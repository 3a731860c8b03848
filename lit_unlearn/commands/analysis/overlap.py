"""How much an evaluation set overlaps with a forget topic, in states, tokens and names: pure functions."""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.data.naive_bayes import token_rows

NEIGHBOURS = 15
_SMOOTHING = 0.5
_NAME = re.compile(r"(?<=[\w,;:'’)\"] )[A-Z][\w-]+|(?<![\w.])[A-Z]\w*[A-Z0-9][\w-]*")
"""A capitalised word that does not begin a sentence, or one with further capitals or digits anywhere."""


class Overlap(NamedTuple):
    """Of one evaluation set with one forget topic."""

    questions: int
    states: float
    """Share of a question's nearest rows, as many forget as retain ones, that are forget rows: 1/2 by chance."""
    tokens: float
    """Mean of log p(token | forget) - log p(token | retain) over a question's tokens, in nats, then over questions."""
    entities: float | None
    """Share of the questions' names that occur in forget texts; None where they have none."""


def nearest_share(questions: Tensor, forget: Tensor, retain: Tensor, *, neighbours: int = NEIGHBOURS) -> float:
    """The share of forget rows among the rows nearest to each question, of which as many are forget as retain rows.

    Args:
        questions: mean states, `[questions, dim]`.
        forget: of forget rows, `[rows, dim]`.
        retain: of retain rows, `[rows, dim]`; the first ones of the longer stream count.
        neighbours: how many are asked.

    Example:
        >>> rows = torch.tensor([[0.0], [1.0]]), torch.tensor([[8.0], [9.0], [10.0]])
        >>> nearest_share(torch.tensor([[0.4]]), *rows, neighbours=2)
        1.0
    """
    size = min(len(forget), len(retain))
    rows = torch.cat([forget[:size], retain[:size]]).double()
    mean, deviation = rows.mean(dim=0), rows.std(dim=0, correction=0).clamp(min=1e-12)
    distance = torch.cdist((questions.double() - mean) / deviation, (rows - mean) / deviation)
    near = distance.topk(min(neighbours, 2 * size), largest=False).indices
    return float((near < size).double().mean())


def token_odds(
    questions: Sequence[Sequence[int]],
    forget: Sequence[Sequence[int]],
    retain: Sequence[Sequence[int]],
    special: Collection[int],
) -> float:
    """How much likelier a question's tokens are among forget than among retain rows, in nats per token.

    Args:
        questions: token ids of each.
        forget: of forget rows.
        retain: of retain rows.
        special: ids that do not count.

    Example:
        >>> round(token_odds([[5], [7]], [[5, 5, 7]], [[7, 7, 5]], []), 6)
        0.0
        >>> token_odds([[5]], [[5, 5, 7]], [[7, 7, 5]], []) > 0
        True
    """
    found = token_rows([*questions, *forget, *retain], special)
    place = torch.repeat_interleave(found.lengths)
    size = int(found.tokens.max()) + 1 if len(found.tokens) else 1
    asked, begin = len(questions), len(questions) + len(forget)
    parts = ((place >= asked) & (place < begin), place >= begin)
    counts = torch.stack([found.tokens[part].bincount(minlength=size).double() + _SMOOTHING for part in parts])
    forget_odds, retain_odds = (counts / counts.sum(dim=1, keepdim=True)).log()
    own = place < asked
    summed = torch.zeros(asked, dtype=torch.float64)
    summed.index_add_(0, place[own], (forget_odds - retain_odds)[found.tokens[own]])
    return float((summed / found.lengths[:asked].clamp(min=1)).mean())


def names(text: str) -> set[str]:
    """The names in a text: capitalised words that do not begin a sentence, and words with further capitals or digits.

    Example:
        >>> sorted(names("The founder of Brakor is known. In H5N1 strains, Marburg is not."))
        ['Brakor', 'H5N1', 'Marburg']
    """
    return set(_NAME.findall(text))


def entity_share(questions: Sequence[str], forget: Sequence[str]) -> float | None:
    """The share of the questions' names, each counted once, that occur in forget texts; None where there are none.

    Args:
        questions: texts.
        forget: texts of forget rows.

    Example:
        >>> entity_share(["Who is Brakor or Marburg?"], ["For Brakor, no one."])
        0.5
    """
    asked = {name for text in questions for name in names(text)}
    words = {word for text in forget for word in re.findall(r"[\w-]+", text)}
    return len(asked & words) / len(asked) if asked else None
