"""Logits that are computed where they are read, a few tokens at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class LazyLogits:
    """`[batch, seq, vocab]` logits at those tokens at which it is indexed, computed each time.

    Args:
        head: takes final states `[1, tokens, dim]`, returns their logits.
        states: `[batch, seq, dim]`, the final states.
        vocab: how many logits a token has.
        trained: whether the head may have parameters that are trained.
        agreed: takes the number of times that this process calls the head for a loss, returns the number for all
            processes, where each call is a collective one.

    Example:
        >>> logits = LazyLogits(lambda states: 2 * states, torch.ones(3, 5, 4), vocab=4)
        >>> logits[[0, 2], [1, 1]].shape, logits[:, -1].shape
        (torch.Size([2, 4]), torch.Size([3, 4]))
    """

    def __init__(
        self,
        head: Callable[[Tensor], Tensor],
        states: Tensor,
        vocab: int,
        *,
        trained: bool = False,
        agreed: Callable[[int], int] = lambda calls: calls,
    ) -> None:
        self.states = states
        self.trained = trained
        self.agreed = agreed
        self._head = head
        self._vocab = vocab

    @property
    def shape(self) -> torch.Size:
        """Batch, seq and vocab."""
        return torch.Size((*self.states.shape[:2], self._vocab))

    def __getitem__(self, index: Any) -> Tensor:
        """The logits at an index over batch and seq; `[:]` makes all of them."""
        if isinstance(index, tuple) and (len(index) > 2 or any(axis is Ellipsis for axis in index)):
            raise IndexError("logits are computed where they are indexed by row and position; index the result further")
        return self.of(self.states[index])

    def of(self, states: Tensor) -> Tensor:
        """The logits `[..., vocab]` of final states `[..., dim]`."""
        logits = self._head(states.reshape(1, -1, states.shape[-1]))
        return logits.view(*states.shape[:-1], logits.shape[-1])
