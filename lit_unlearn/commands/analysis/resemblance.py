"""How much the rows of two streams resemble each other: pure functions."""

from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.commands.analysis.association import between_centroids, jensen_shannon, mutual_information

SHUFFLES = 20
"""Draws of what chance gives."""


class Topic(NamedTuple):
    """The rows of a forget topic and of what it is paired with."""

    tokens: Tensor
    """All rows' tokens, `[tokens]`."""
    place: Tensor
    """Which row each stands in, `[tokens]`."""
    states: Tensor
    """The representation of each row, `[rows, dim]`."""
    retain: Tensor
    """bool `[rows]`, whether a row is of the retain stream."""


class Resemblance(NamedTuple):
    """What one topic's rows say about their stream."""

    rows: int
    tokens: float
    tokens_by_chance: float
    states: float
    states_by_chance: float
    cosine: float
    cosine_of_retain: float


def resemblance(topic: Topic) -> Resemblance:
    """The numbers of one topic."""
    source = torch.Generator().manual_seed(0)
    shuffled = [_shuffled(topic.retain, source) for _ in range(SHUFFLES)]
    retain = topic.states[topic.retain]
    return Resemblance(
        rows=len(topic.retain),
        tokens=_token_bits(topic, topic.retain),
        tokens_by_chance=fmean(_token_bits(topic, labels) for labels in shuffled),
        states=_state_bits(topic, topic.retain),
        states_by_chance=fmean(_state_bits(topic, labels) for labels in shuffled),
        cosine=_cosine(topic.states[~topic.retain], retain),
        cosine_of_retain=_cosine(retain[::2], retain[1::2]),
    )


def frequencies(topic: Topic, retain: Tensor) -> list[Tensor]:
    """How often each token stands in rows of the forget and of the retain stream."""
    size = int(topic.tokens.max()) + 1
    return [topic.tokens[of[topic.place]].bincount(minlength=size) for of in (~retain, retain)]


def positions(topic: Topic, retain: Tensor) -> Tensor:
    """Where each row lies between the means of the two streams' rows of the other half, `[rows]`."""
    out = torch.empty(len(retain))
    for half in _halves(retain):
        out[half] = between_centroids(topic.states[~half], retain[~half], topic.states[half])
    return out


def _token_bits(topic: Topic, retain: Tensor) -> float:
    return jensen_shannon(*frequencies(topic, retain)).bits


def _shuffled(retain: Tensor, source: torch.Generator) -> Tensor:
    """Streams drawn for the rows, as many of each in each half."""
    out = torch.empty_like(retain)
    for half in _halves(retain):
        out[half] = retain[half][torch.randperm(int(half.sum()), generator=source)]
    return out


def _halves(retain: Tensor) -> tuple[Tensor, Tensor]:
    even = torch.arange(len(retain)) % 2 == 0
    return even, ~even


def _state_bits(topic: Topic, retain: Tensor) -> float:
    near = positions(topic, retain) > 0
    table = [[(near[retain == stream] == side).sum() for side in (False, True)] for stream in (False, True)]
    return mutual_information(torch.tensor(table))


def _cosine(first: Tensor, second: Tensor) -> float:
    """Of the means of vectors `[count, dim]`."""
    return torch.cosine_similarity(first.mean(dim=0), second.mean(dim=0), dim=0).item()
