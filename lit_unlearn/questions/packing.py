"""Prompts that begin alike in one row, so that a model need run their beginning once."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor


class Packed(TypedDict):
    """Prompts of some questions, those of one question in one row: the first whole, of the others what differs.

    Every token belongs to a prompt, has its place there, and sees what comes before it there: tokens of the same prompt
    and as many of the row's first prompt as the two have in common.
    """

    token: Tensor
    """`[rows, seq]`, index into the batch's `input_ids`, flattened."""
    prompt: Tensor
    """`[rows, seq]`, index of the prompt to which it belongs, -1 at padding."""
    position: Tensor
    """`[rows, seq]`, its place in the prompt."""
    shared: Tensor
    """`[rows, seq]`, so many tokens of the row's first prompt come before the prompt's own."""
    last: Tensor
    """`[prompts]`, index of each prompt's last token in the rows, flattened."""


_PADDING = (0, -1, 0, 0)


def common(one: Sequence[int], other: Sequence[int], *, asked: int = 1) -> int:
    """With how many tokens of `one` `other` begins, its last tokens left out, whose states are asked for.

    Args:
        one: a prompt.
        other: another.
        asked: how many tokens of it are left out.

    Example:
        >>> common([5, 6, 7], [5, 6, 8, 9]), common([5, 6], [5, 6]), common([5, 6, 7], [5, 6, 8], asked=2)
        (2, 1, 1)
    """
    limit = min(len(one), len(other) - asked)
    return next((place for place in range(limit) if one[place] != other[place]), limit)


def packed_length(prompts: Sequence[Sequence[int]], asked: Sequence[int] | None = None) -> int:
    """Tokens of a row of prompts.

    Args:
        prompts: as token ids.
        asked: of each, of how many last tokens the states are asked for; None is of one.

    Example:
        >>> packed_length([[5, 6, 7], [5, 6, 8, 9]])
        5
    """
    return sum(map(len, prompts)) - sum(_shared(prompts, asked))


def alike(prompts: Sequence[Sequence[int]], asked: Sequence[int] | None = None) -> bool:
    """Whether prompts have so much in common that it is worth a long row, whose attention takes more.

    Args:
        prompts: as token ids.
        asked: as in `packed_length`.
    """
    return 3 * packed_length(prompts, asked) <= 2 * sum(map(len, prompts))


def pack(rows: Sequence[Sequence[Sequence[int]]], width: int, asked: Sequence[Sequence[int]] | None = None) -> Packed:
    """Packs prompts.

    Args:
        rows: the prompts of each row, as token ids.
        width: of the batch's `input_ids`, in which all prompts stand one below the other, padded to the left.
        asked: of each prompt, of how many last tokens the states are asked for, which are its own; None is of one.
    """
    packed: list[list[tuple[int, int, int, int]]] = []
    last: list[int] = []
    counts: Sequence[Sequence[int] | None] = asked or [None] * len(rows)
    length = max(packed_length(row, count) for row, count in zip(rows, counts, strict=True))
    for row, count in zip(rows, counts, strict=True):
        tokens: list[tuple[int, int, int, int]] = []
        for prompt, shared in zip(row, _shared(row, count), strict=True):
            begin = width * (len(last) + 1) - len(prompt)
            tokens += [(begin + place, len(last), place, shared) for place in range(shared, len(prompt))]
            last.append(length * len(packed) + len(tokens) - 1)
        packed.append(tokens + [_PADDING] * (length - len(tokens)))
    token, prompt_of, position, shared_by = torch.tensor(packed).unbind(dim=-1)
    return Packed(token=token, prompt=prompt_of, position=position, shared=shared_by, last=torch.tensor(last))


def _shared(prompts: Sequence[Sequence[int]], asked: Sequence[int] | None) -> list[int]:
    """How many tokens of the first prompt each other takes as its own; of the first itself none."""
    counts = asked or [1] * len(prompts)
    first, *others = prompts
    return [0, *(common(first, other, asked=count) for other, count in zip(others, counts[1:], strict=True))]
