"""Values of tokens made of their logits: the head runs on a few tokens at a time, and no logits are kept for backward.

Values and their gradients with respect to the final states are made together in forward. So a head that is not trained
is passed once forward and once backward, and `[tokens, dim]` is kept.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lit_unlearn.losses.contract import Logits
from lit_unlearn.losses.lazy_logits import LazyLogits


class Measure(NamedTuple):
    """What is computed at each token."""

    values: Callable[[Tensor, Tensor], Tensor]
    """Takes logits `[tokens, vocab]` and what they are measured against; returns a value for each token, `[tokens]`.
    Without gradient it may return several, `[tokens, values]`."""
    against: Callable[[Tensor, Tensor], Tensor]
    """Takes rows and positions of tokens; returns e.g. their labels or the frozen model's logits, `[tokens, ...]`."""


class Sizes(NamedTuple):
    """How many logits are made or read at once."""

    made: int
    """By the head."""
    tokens: int
    """Tokens that the head is given at least: with fewer its matrix product is slow."""
    read: int
    """By `Measure.values`. On a CPU they and what is computed from them stay in the cache."""


_CPU = Sizes(made=2**23, tokens=128, read=2**18)
_GPU = Sizes(made=2**26, tokens=128, read=2**24)
_as_on_gpu = ContextVar("as on a GPU", default=False)


def by_token(measure: Measure, counted: Tensor, logits: Logits) -> Tensor:
    """The values of the counted tokens, `[batch, seq]` (or `[batch, seq, values]`), and 0 elsewhere.

    Args:
        measure: what the values are.
        counted: bool `[batch, seq]`.
        logits: what the values are made of.
    """
    index = counted.nonzero(as_tuple=True)
    found = _values(_Pieces(measure, index, _lazy(logits)))
    return found.new_zeros((*counted.shape, *found.shape[1:])).index_put(index, found)


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Within this context tensors of a CPU are read in a GPU's pieces: those of a plan have no values."""
    before = _as_on_gpu.set(True)
    try:
        yield
    finally:
        _as_on_gpu.reset(before)


class _Pieces:
    """Some tokens in pieces, in each of which the head runs once.

    Args:
        measure: what is computed.
        index: rows and positions of the tokens, `[tokens]` each.
        logits: of the batch.
    """

    def __init__(self, measure: Measure, index: tuple[Tensor, ...], logits: LazyLogits) -> None:
        self.index = index
        self.logits = logits
        self._measure = measure
        self._sizes = _CPU if logits.states.device.type == "cpu" and not _as_on_gpu.get() else _GPU
        each = max(self._sizes.made // logits.shape[-1], self._sizes.tokens)
        self._count = logits.agreed(max(1, math.ceil(len(index[0]) / each)))

    def values(self, states: Tensor) -> Tensor:
        """The values `[tokens]` of final states `[tokens, dim]`, without gradient."""
        with torch.no_grad():
            parts = [self._read(self.logits.of(some), *part) for some, *part in self._split(states)]
        return torch.cat([value for part in parts for value in part])

    def values_computed_again(self, states: Tensor) -> Tensor:
        """As `values`, with any gradient: what is computed from the states runs once more in backward, the head too."""

        def values(some: Tensor, *part: Tensor) -> Tensor:
            return self._measure.values(self.logits.of(some), self._measure.against(*part))

        # In eval mode nothing is drawn, so no generator's state need be kept.
        run = partial(checkpoint, values, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([run(*piece) for piece in self._split(states)])

    def values_and_gradient(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """As `values`, and the gradient of each with respect to its state, `[tokens, dim]`."""
        values, gradient, space = list[Tensor](), torch.empty_like(states), None
        for some, out, *part in self._split(states, gradient):
            with torch.enable_grad():
                leaf = some.detach().requires_grad_()
                logits = self.logits.of(leaf)
            space = torch.empty_like(logits) if space is None else space[: len(logits)]  # the first piece is a largest
            values += self._read(logits.detach(), *part, gradient=space)
            out.copy_(_gradient(logits, leaf, space))
        return torch.cat(values), gradient

    def _split(self, *by_token: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The pieces of tensors `[tokens, ...]`, with rows and positions."""
        return zip(*(one.tensor_split(self._count) for one in (*by_token, *self.index)), strict=True)

    def _read(
        self, logits: Tensor, rows: Tensor, positions: Tensor, *, gradient: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The values of a piece, some tokens at a time; writes their gradient with respect to the logits."""
        against, each = self._measure.against(rows, positions), max(1, self._sizes.read // logits.shape[-1])
        if gradient is None:
            yield from map(self._measure.values, logits.split(each), against.split(each))
            return
        for some, other, out in zip(logits.split(each), against.split(each), gradient.split(each), strict=True):
            with torch.enable_grad():
                leaf = some.requires_grad_()
                values = self._measure.values(leaf, other)
            out.copy_(_gradient(values, leaf, torch.ones_like(values)))
            yield values.detach()


class _WithGradient(torch.autograd.Function):
    """Values whose gradient with respect to the final states is computed with them."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, pieces: _Pieces) -> Tensor:
        """Returns `[tokens]` of states `[batch, seq, dim]`."""
        values, gradient = pieces.values_and_gradient(states[pieces.index])
        ctx.save_for_backward(states, gradient)
        ctx.pieces, ctx.autocast = pieces, _autocast(states.device.type)
        return values

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        """Weighs each token's gradient."""
        states, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is asked for
            with ctx.autocast:
                values = ctx.pieces.values_computed_again(states[ctx.pieces.index])
            return torch.autograd.grad(values, states, outer, create_graph=True)[0], None
        weighted = (outer[:, None] * gradient).to(states.dtype)
        return torch.zeros_like(states).index_put_(ctx.pieces.index, weighted), None


def _values(pieces: _Pieces) -> Tensor:
    """The values `[tokens]`, with a gradient where there is one to have."""
    states, trained = pieces.logits.states, pieces.logits.trained
    if not (torch.is_grad_enabled() and (states.requires_grad or trained)):
        return pieces.values(states[pieces.index])
    if trained:
        return pieces.values_computed_again(states[pieces.index])
    found: Tensor = _WithGradient.apply(states, pieces)  # type: ignore[no-untyped-call]
    return found


def _lazy(logits: Logits) -> LazyLogits:
    """Logits that are there are their own final states."""
    return logits if isinstance(logits, LazyLogits) else LazyLogits(lambda own: own, logits[:], logits.shape[-1])


def _gradient(values: Tensor, leaf: Tensor, outer: Tensor) -> Tensor:
    # Autocast is for forward: in backward it would round what a forward in float32 has made.
    with torch.autocast(leaf.device.type, enabled=False):
        return torch.autograd.grad(values, leaf, outer)[0]


def _autocast(device: str) -> torch.autocast:
    """The autocast that is on."""
    return torch.autocast(device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
