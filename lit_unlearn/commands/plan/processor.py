"""What a processor does and what the program takes beside the model, measured here."""

import os
import time
from pathlib import Path

import torch

_TOKENS, _WIDTH = 512, 1024
"""Sizes of the product that is timed: many tokens through a matrix that stays out of the innermost caches."""
_ENOUGH = 0.1
"""Seconds of products."""
_STATM = Path("/proc/self/statm")


def measured_rate(precision: str) -> float:
    """Operations per second of a matrix product on this machine's processor, with torch's threads; takes 0.2 s.

    Args:
        precision: of the Trainer.
    """
    dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    left, right = torch.ones(_TOKENS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    left @ right  # the first starts the threads
    products, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < _ENOUGH:
        left @ right
        products += 1
    return products * 2 * _TOKENS * _WIDTH**2 / passed


def program_memory() -> int:
    """Bytes that Python and the imported packages take here; 0 where the system does not say."""
    if not _STATM.is_file():
        return 0
    resident = int(_STATM.read_text().split()[1])
    return resident * os.sysconf("SC_PAGE_SIZE")
