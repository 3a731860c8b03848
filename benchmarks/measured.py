"""Peak memory of a process, and ratios of times with their intervals."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import torch


class Ratio(NamedTuple):
    """A ratio of medians and its 95 % bootstrap interval over rounds."""

    value: float
    low: float
    high: float


def ratio(times: Sequence[float], base: Sequence[float]) -> Ratio:
    """How many times as long as `base` something takes; both were measured in the same rounds.

    Args:
        times: seconds, by round.
        base: the same.

    Example:
        >>> ratio([2.0, 2.0], [1.0, 1.0])
        Ratio(value=2.0, low=2.0, high=2.0)
    """
    over, under = np.array(times), np.array(base)
    drawn = np.random.default_rng(0).integers(len(over), size=(2000, len(over)))
    spread = np.median(over[drawn], axis=1) / np.median(under[drawn], axis=1)
    low, high = np.quantile(spread, [0.025, 0.975])
    return Ratio(float(np.median(over) / np.median(under)), float(low), float(high))


class Memory:
    """Within this context the highest memory of this process, or of the GPU, is watched.

    On the CPU that is what is resident, weights that are mapped from their files included. What was there before does
    not count.

    Args:
        device: whose memory is meant.
        before: bytes that do not count; None is what there is on entering.
    """

    def __init__(self, device: torch.device, before: int | None = None) -> None:
        self.peak = 0
        """Bytes above what there was before."""
        self.before = before
        """Bytes that do not count; None is what there is on entering."""
        self._device = device
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begins."""
        if self._device.type == "cuda":
            torch.cuda.init()  # before it there are no counters
            torch.cuda.reset_peak_memory_stats(self._device)
        if self.before is None:
            self.before = torch.cuda.memory_allocated(self._device) if self._device.type == "cuda" else _resident()
        if self._device.type != "cuda":
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends."""
        if self._device.type == "cuda":
            self.peak = torch.cuda.max_memory_allocated(self._device) - (self.before or 0)
        else:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, _resident() - (self.before or 0))
            if self._over.wait(0.002):
                return


def _resident() -> int:
    """Bytes of this process in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return 1024 * int(found[1])
