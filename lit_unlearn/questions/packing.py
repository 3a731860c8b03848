"""Prompts in one row, in which what they have in common at their beginning stands once."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from lit_unlearn.data.draws import Item
from lit_unlearn.running.shared_attention import Part


class Prompt(NamedTuple):
    """Token ids of which something is asked."""

    input_ids: Sequence[int]
    asked: int = 1
    """Of how many of the last tokens; these are always the prompt's own."""


class Packed(TypedDict):
    """Prompts in one row, sorted by their tokens: each takes from the one before it what both begin with.

    Nothing is padded.
    """

    input_ids: Tensor
    """`[1, seq]`."""
    position: Tensor
    """`[1, seq]`, the place of each token in its prompts."""
    own: Tensor
    """`[prompts]`, how many tokens each adds to the row, in the order of the row."""
    length: Tensor
    """`[prompts]`, of each prompt in the order of the row."""
    seen: Tensor
    """`[sum of lengths]`, index in the row of each token of each prompt."""
    last: Tensor
    """`[prompts]`, index of each prompt's last token in the row, in the order in which the prompts were given."""


def common(one: Sequence[int], other: Prompt) -> int:
    """With how many tokens of `one` another prompt begins, the tokens of which something is asked left out.

    Args:
        one: the tokens of a prompt.
        other: another.

    Example:
        >>> common([5, 6, 7], Prompt([5, 6, 8, 9])), common([5, 6], Prompt([5, 6])), common([5, 6], Prompt([5, 6], 2))
        (2, 1, 0)
    """
    low, high = 0, min(len(one), len(other.input_ids) - other.asked)
    while low < high:  # halves what is left, since slices compare much faster than loops
        middle = (low + high + 1) // 2
        if one[low:middle] == other.input_ids[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def packed_length(prompts: Iterable[Prompt], before: Sequence[int] = ()) -> int:
    """Tokens that prompts add to a row, in this order.

    Args:
        prompts: to be added.
        before: the tokens of the last prompt of the row.

    Example:
        >>> packed_length([Prompt([5, 6, 7]), Prompt([5, 6, 8, 9])])
        5
    """
    tokens = 0
    for prompt in prompts:
        tokens += len(prompt.input_ids) - common(before, prompt)
        before = prompt.input_ids
    return tokens


def filled(items: Iterable[Item], max_tokens: int, *, prompts: Callable[[Item], Sequence[Prompt]]) -> list[list[Item]]:
    """Batches of as many items, one after another, as the tokens of their row allow, at least one; largest first.

    Args:
        items: in an order in which those that begin alike follow one another.
        max_tokens: of one batch.
        prompts: of an item, at least one.

    Example:
        >>> filled([[5, 6, 7], [5, 6, 8], [6, 1, 1]], 4, prompts=lambda ids: [Prompt(ids)])
        [[[5, 6, 7], [5, 6, 8]], [[6, 1, 1]]]
    """
    batches: list[list[Item]] = []
    tokens: list[int] = []
    before: Sequence[int] = ()
    for item in items:
        own = prompts(item)
        added = packed_length(own, before)
        if batches and tokens[-1] + added <= max_tokens:
            batches[-1].append(item)
            tokens[-1] += added
        else:
            batches.append([item])
            tokens.append(packed_length(own))
        before = own[-1].input_ids
    return [batches[index] for index in sorted(range(len(batches)), key=lambda index: -tokens[index])]


def pack(prompts: Sequence[Prompt]) -> Packed:
    """Packs prompts, in any order."""
    order = sorted(range(len(prompts)), key=lambda index: prompts[index])
    ids: list[int] = []
    position, own, paths = [], [], [torch.zeros(0, dtype=torch.long)]
    last = [0] * len(prompts)
    before: Sequence[int] = ()
    for index in order:
        tokens = prompts[index].input_ids
        shared = common(before, prompts[index])
        own.append(len(tokens) - shared)
        paths.append(torch.cat([paths[-1][:shared], torch.arange(len(ids), len(ids) + own[-1])]))
        position.append(torch.arange(shared, len(tokens)))
        ids += tokens[shared:]
        last[index] = len(ids) - 1
        before = tokens
    return Packed(
        input_ids=torch.tensor([ids]),
        position=torch.cat(position)[None],
        own=torch.tensor(own),
        length=torch.tensor([len(path) for path in paths[1:]]),
        seen=torch.cat(paths),
        last=torch.tensor(last),
    )


def parts_of(packed: Packed) -> list[Part]:
    """Where each prompt stands in the row, in the order of the row."""
    own, lengths = torch.stack([packed["own"], packed["length"]]).tolist()
    ends = torch.tensor(own).cumsum(dim=0).tolist()
    seen = packed["seen"].split(lengths)
    return [Part(slice(end - count, end), path) for count, end, path in zip(own, ends, seen, strict=True)]
