"""Rows of three classes, made up."""

from typing import NamedTuple

import torch
from torch import Tensor


class Made(NamedTuple):
    """Rows whose states and tokens say their class."""

    states: Tensor
    tokens: list[list[int]]
    labels: Tensor


def made(rows: int, *, dim: int = 6, classes: int = 3, seed: int = 0, apart: float = 1.5) -> Made:
    """Each class has a mean state and a token of its own; token 0 begins every row."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % classes
    means = apart * torch.randn(classes, dim, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    states = means[labels] + torch.randn(rows, dim, generator=source, dtype=torch.float64)
    tokens = torch.randint(classes + 1, 40, (rows, 9), generator=source).tolist()
    own = [
        [0, 1 + int(label), *row[: 3 + place % 7]]
        for place, (label, row) in enumerate(zip(labels, tokens, strict=True))
    ]
    return Made(states, own, labels)
