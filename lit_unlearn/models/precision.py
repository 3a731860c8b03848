"""The dtype of the weights for the Trainer's precision."""

import torch

from lit_unlearn.errors import InputError

_DTYPES = {
    "64-true": torch.float64,
    "32-true": torch.float32,
    "bf16-true": torch.bfloat16,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}


_SHORT = {"None": "32-true", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def named_precision(option: object) -> str:
    """Lightning's full name of a precision.

    Example:
        >>> named_precision(None), named_precision("bf16"), named_precision("64-true")
        ('32-true', 'bf16-mixed', '64-true')
    """
    return _SHORT.get(str(option), str(option))


def weights_dtype(precision: str) -> torch.dtype:
    """The dtype of the weights that are not trained, for Lightning's `precision`; `mixed` trains in float32.

    Raises:
        InputError: the precision is not supported.
    """
    if precision not in _DTYPES:
        raise InputError(f"trainer.precision: {precision!r} is not supported; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def check_precision(now: str, before: str) -> None:
    """Checks that a loaded model is used at the precision for which it was loaded.

    Raises:
        InputError: the two differ.
    """
    if now != before:
        raise InputError(f"trainer.precision: the model was loaded for {before!r}, not {now!r}; make a new module")
