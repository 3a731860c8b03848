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


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """With how many tokens of `one` `other` begins, its last token left out, whose states are asked for.

    Example:
        >>> common([5, 6, 7], [5, 6, 8, 9]), common([5, 6], [5, 6])
        (2, 1)
    """
    limit = min(len(one), len(other) - 1)
    return next((place for place in range(limit) if one[place] != other[place]), limit)


def packed_length(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens of a row of prompts.

    Example:
        >>> packed_length([[5, 6, 7], [5, 6, 8, 9]])
        5
    """
    return sum(len(prompt) - common(prompts[0], prompt) * (index > 0) for index, prompt in enumerate(prompts))


def pack(rows: Sequence[Sequence[Sequence[int]]], width: int) -> Packed:
    """Packs prompts.

    Args:
        rows: the prompts of each row, as token ids.
        width: of the batch's `input_ids`, in which all prompts stand one below the other, padded to the left.
    """
    packed: list[list[tuple[int, int, int, int]]] = []
    last: list[int] = []
    length = max(map(packed_length, rows))
    for row in rows:
        tokens: list[tuple[int, int, int, int]] = []
        for index, prompt in enumerate(row):
            shared = common(row[0], prompt) if index else 0
            begin = width * (len(last) + 1) - len(prompt)
            tokens += [(begin + place, len(last), place, shared) for place in range(shared, len(prompt))]
            last.append(length * len(packed) + len(tokens) - 1)
        packed.append(tokens + [_PADDING] * (length - len(tokens)))
    token, prompt_of, position, shared_by = torch.tensor(packed).unbind(dim=-1)
    return Packed(token=token, prompt=prompt_of, position=position, shared=shared_by, last=torch.tensor(last))
