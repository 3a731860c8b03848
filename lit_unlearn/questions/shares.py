"""Which questions meet in a batch, and which batches each process gets: equally many."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from lit_unlearn.data.draws import Item


class Size(NamedTuple):
    """Of what runs together."""

    rows: int
    longest: int
    """Tokens of the longest row."""


@runtime_checkable
class CountsRows(Protocol):
    """Batches that say of how many rows they are."""

    @property
    def rows(self) -> int:
        """Rows of this process that count: prompts, questions, texts or pairs."""


def fitting(parts: Sequence[Item], max_tokens: int, *, size: Callable[[Item], Size]) -> list[list[Item]]:
    """Batches of as many parts, one after another, as the tokens allow, at least one.

    Args:
        parts: in their order.
        max_tokens: of one batch, padding included.
        size: of a part.

    Example:
        >>> fitting([4, 3, 3, 9], 8, size=lambda length: Size(1, length))
        [[4, 3], [3], [9]]
    """
    batches: list[list[Item]] = []
    rows = longest = 0
    for part in parts:
        own = size(part)
        rows, longest = rows + own.rows, max(longest, own.longest)
        if not batches or rows * longest > max_tokens:
            batches.append([])
            rows, longest = own
        batches[-1].append(part)
    return batches


def batches_each(count: int, share: tuple[int, int]) -> int:
    """Batches of each process.

    Args:
        count: of all batches.
        share: (rank, number of processes).

    Example:
        >>> batches_each(5, (1, 2))
        3
    """
    return -(-count // share[1])


def own_batches(batches: Sequence[Item], share: tuple[int, int]) -> Sequence[Item]:
    """The batches of one process, without those that only fill up.

    Args:
        batches: of all processes.
        share: (rank, number of processes).

    Example:
        >>> own_batches("abcde", (1, 2))
        'bd'
    """
    return batches[share[0] :: share[1]]


def batch_at(index: int, count: int, share: tuple[int, int]) -> int | None:
    """Which batch is a process's index-th; None is one that only fills up.

    Args:
        index: from 0, or from the end.
        count: of all batches.
        share: (rank, number of processes).

    Raises:
        IndexError: the process has no such batch.

    Example:
        >>> [batch_at(index, 5, (1, 2)) for index in range(3)]
        [1, 3, None]
    """
    rank, world = share
    found = range(rank, world * batches_each(count, share), world)[index]
    return found if found < count else None
