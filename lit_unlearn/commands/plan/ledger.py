"""Accounts of a step: which tensors are alive at the worst moment, what they are for, and the arithmetic."""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lit_unlearn.commands.plan.operations import operations

WEIGHTS = "weights"
TRAINED = "trained weights"
COPIES = "frozen copies"
GRADIENTS = "gradients"
OPTIMIZER = "optimizer state"
KEPT = "kept for backward"
PASSING = "passing"
PARTS = (WEIGHTS, TRAINED, COPIES, GRADIENTS, OPTIMIZER, KEPT, PASSING)
"""What memory is for; what is passing is not kept: batches, values between operations, what backward computes again."""
_DEVICE = torch.ops.prim.device.default


class Ledger(TorchDispatchMode):
    """Within this context every tensor that an operation returns is accounted for, until nothing refers to it.

    Views count once. It works on real tensors and on those of `Shapes`, since it looks at sizes alone. What a kernel
    takes for itself and gives back before it returns is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.operations = 0
        """Floating-point operations of matrix products and attention since `begin`."""
        self._held: dict[int, tuple[str, int]] = {}
        self._read: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation and accounts for what it returns."""
        if func is _DEVICE:  # asked more often than all others, and returns no tensor
            return func(*args)
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.operations += operations(func, args, kwargs, result)
        self._read.update(_key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._enter(leaf)
        return result

    def label(self, tensors: Iterable[Tensor], part: str) -> None:
        """Says what tensors are for; those made elsewhere are accounted for from now on."""
        for tensor in tensors:
            self._enter(tensor)
            before, size = self._held[_key(tensor)]
            self.live[before] -= size
            self.live[part] += size
            self._held[_key(tensor)] = (part, size)

    def begin(self) -> None:
        """Forgets the peak, what was read and what was computed so far."""
        self.peak = Counter(self.live)
        self.operations = 0
        self._read.clear()

    def read(self, part: str) -> int:
        """Bytes of a part that operations have read since `begin`."""
        held = (self._held[key] for key in self._read if key in self._held)
        return sum(size for name, size in held if name == part)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Within this context what autograd saves counts as kept, unless it is something else already."""

        def keep(tensor: Tensor) -> Tensor:
            self._enter(tensor)
            if self._held[_key(tensor)][0] == PASSING:
                self.label([tensor], KEPT)
            return tensor.detach()  # the tensor itself would refer to its own graph, and never be freed

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            yield

    def _enter(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self._held:
            return
        self._held[key] = (PASSING, storage.nbytes())
        self.live[PASSING] += storage.nbytes()
        weakref.finalize(storage, self._leave, key).atexit = False
        if self.live.total() > self.peak.total():
            self.peak = Counter(self.live)

    def _leave(self, key: int) -> None:
        part, size = self._held.pop(key)
        self.live[part] -= size


def _key(tensor: Tensor) -> int:
    """The same for all views of one memory."""
    key: int = tensor.untyped_storage()._cdata
    return key


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes that tensors take, each memory once.

    Example:
        >>> row = Tensor([1.0, 2.0, 3.0, 4.0])
        >>> size([row, row[:2]])
        16
    """
    return sum({_key(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}.values())
