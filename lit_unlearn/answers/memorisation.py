"""What of an answer is known by heart: extraction strength and exact memorisation."""

from collections.abc import Sequence
from statistics import fmean


def extraction_strength(greedy: Sequence[bool]) -> float:
    """1 minus the shortest share of an answer after which greedy decoding gives the rest; 0 to 1 (Carlini et al. 2021).

    One forward is enough: the greedy rest equals the answer where every token of it is the likeliest one after those
    before it. Where not even the last token is predicted it is 0; open-unlearning gives 1 / tokens there.

    Args:
        greedy: of each token of the answer, without the end of the turn, whether it is the likeliest.

    Example:
        >>> extraction_strength([False, True, True, True]), extraction_strength([True, False])
        (0.75, 0.0)
    """
    known = 0
    for one in reversed(greedy):
        if not one:
            break
        known += 1
    return known / len(greedy)


def exact_memorisation(greedy: Sequence[bool]) -> float:
    """The share of an answer's tokens that are the likeliest ones, 0 to 1 (Tirumala et al. 2022).

    Args:
        greedy: as for `extraction_strength`.

    Example:
        >>> exact_memorisation([False, True, True, True])
        0.75
    """
    return fmean(greedy)
