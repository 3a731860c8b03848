"""Floating-point operations of matrix products and attention, by torch's own formulas."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

_aten = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    del args, kwargs
    return cast(int, sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    del args, kwargs
    return cast(int, sdpa_backward_flop_count(gradient, query, key, value))


def _experts(rows: Any, weight: Any, *args: Any, **kwargs: Any) -> int:
    """Each row meets one expert's matrix, in backward's product for the matrices too: [dim, rows] by [rows, inner]."""
    del args, kwargs
    return int(2 * rows[0] * rows[1] * weight[-1])


OWN: Mapping[Any, Callable[..., int]] = {
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    _aten._grouped_mm: _experts,
}
"""Formulas that torch lacks, by operation: of its attention for the CPU, and of products of experts."""
_FORMULAS: Mapping[Any, Callable[..., int]] = FlopCounterMode(display=False, custom_mapping=dict(OWN)).flop_registry


def operations(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """What a call of torch takes; 0 for what is no product.

    torch's `FlopCounterMode` counts the same, but looks for a decomposition of every other operation and for the module
    that it is part of, which takes a fifth of a simulated step's time.

    Args:
        func: what is called, as a dispatch mode is given it.
        args: of the call.
        kwargs: likewise.
        result: what it returned.

    Example:
        >>> row = torch.ones(1, 4)
        >>> operations(torch.ops.aten.mm.default, (row, row.T), {}, row @ row.T)
        8
    """
    formula = _FORMULAS.get(func.overloadpacket)
    return 0 if formula is None else formula(*args, **kwargs, out_val=result)
