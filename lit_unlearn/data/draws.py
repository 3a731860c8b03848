"""Seeded draws: each is a function of its key alone, the same for any order, batch and process."""

import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def uniform(below: int, *key: str | int) -> int:
    """A uniform number from 0 to below - 1; 0 where there is none.

    Example:
        >>> uniform(4, "option", 0, 7) == uniform(4, "option", 0, 7)
        True
    """
    # random() is the one method whose sequence Python promises never to change.
    return int(_source(key).random() * below)


def chance(probability: float, *key: str | int) -> bool:
    """True with this probability.

    Example:
        >>> chance(0.0, "row", 7), chance(1.0, "row", 7)
        (False, True)
    """
    return _source(key).random() < probability


def sample(items: Sequence[Item], count: int, *key: str | int) -> list[Item]:
    """`count` items, drawn uniformly; each is drawn once before any is drawn again. Smaller counts are their beginning.

    Example:
        >>> sorted(sample("abc", 3, "letters")), sample("abc", 1, "letters") == sample("abc", 5, "letters")[:1]
        (['a', 'b', 'c'], True)
    """
    source, left, taken = _source(key), list[Item](), list[Item]()
    for _ in range(count):
        left = left or list(items)
        taken.append(left.pop(int(source.random() * len(left))))
    return taken


def _source(key: tuple[str | int, ...]) -> random.Random:
    return random.Random(" ".join(map(str, key)))
