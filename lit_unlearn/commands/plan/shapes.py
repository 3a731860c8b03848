"""Tensors without values: the package's own code runs on them in the time of its bookkeeping, in no memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

_aten = torch.ops.aten
_DEVICE = torch.ops.prim.device.default


class Shapes(FakeTensorMode):
    """Within this context tensors have shapes and dtypes and take no memory.

    They are on the CPU, so that the plan is the same on every machine. Where code asks for a value, it gets that of a
    batch of rows as long as can be: every token is counted, and yet the attention mask is needed.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation on shapes; answers those whose result depends on values."""
        if func is _DEVICE:  # asked more often than all others
            return args[0].fake_device
        if func is _aten.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].dim()), dtype=torch.long)
        if func is _aten._local_scalar_dense.default:
            # A truth value is asked of masks, `are all tokens real?`; numbers are steps and seeds.
            return False if args[0].dtype == torch.bool else 1
        if func is _aten._grouped_mm.default:
            return _grouped(*args, **(kwargs or {}))  # torch's own is for bf16 alone, its kernels are not
        # What torch's own method does, without one more of its wrappers for each operation.
        return self.dispatch(func, types, args, kwargs or {})


def _grouped(rows: Tensor, weight: Tensor, offsets: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
    """What the product of groups of rows and a matrix for each group returns; in backward a matrix for each group."""
    del args
    dtype = kwargs.get("out_dtype") or rows.dtype
    if rows.dim() == weight.dim() == 2:
        groups = offsets if offsets is not None else kwargs["offs"]
        return rows.new_empty((len(groups), rows.shape[0], weight.shape[1]), dtype=dtype)
    return rows.new_empty((rows.shape[0], weight.shape[-1]), dtype=dtype)


def moved(module: nn.Module) -> None:
    """Replaces a module's tensors, which are on the meta device, by tensors of the context; tied ones stay tied."""
    made: dict[int, Tensor] = {}
    for owner in module.modules():
        _replace(owner._parameters, made, lambda old, new: nn.Parameter(new, requires_grad=old.requires_grad))
        _replace(owner._buffers, made, lambda old, new: new)


def _replace(tensors: dict[str, Any], made: dict[int, Tensor], wrapped: Callable[[Tensor, Tensor], Tensor]) -> None:
    for name, old in tensors.items():
        if old is not None:
            if id(old) not in made:
                made[id(old)] = wrapped(old, torch.empty(old.shape, dtype=old.dtype))
            tensors[name] = made[id(old)]
