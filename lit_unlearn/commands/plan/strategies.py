"""What each device takes when processes share the work."""

from collections.abc import Sequence
from typing import NamedTuple

from lit_unlearn.commands.plan.config import DDP, FSDP2, ONE
from lit_unlearn.commands.plan.ledger import GRADIENTS, KEPT, PASSING, WEIGHTS
from lit_unlearn.commands.plan.step import ModelBytes, Step

_GATHERED = 2
"""Modules that FSDP2 holds whole at once: the one that runs and the next."""


class Layout(NamedTuple):
    """A strategy over some devices."""

    strategy: str
    devices: int
    parts: dict[str, int]
    """Bytes on each device, by part."""
    replicas: int = 1
    """Copies of a sharded model."""

    @property
    def name(self) -> str:
        """As a table shows it."""
        if self.replicas > 1:
            return f"HSDP {self.replicas} × {self.devices // self.replicas}"
        return self.strategy if self.strategy == ONE else f"{self.strategy} × {self.devices}"

    @property
    def total(self) -> int:
        """Bytes on each device."""
        return sum(self.parts.values())

    @property
    def binds(self) -> str:
        """The part that takes most."""
        return max(self.parts, key=lambda part: self.parts[part])


class Growth(NamedTuple):
    """A step with two numbers of rows, from which that with any other follows."""

    one: Step
    other: Step

    def peak(self, batch: float) -> dict[str, int]:
        """Bytes by part with this number of rows of each stream: some grow with them, some do not.

        Example:
            >>> from lit_unlearn.commands.plan.step import StepRows
            >>> two, four = (Step(StepRows(batch, 8, 8), {"passing": 10 + batch}, 0, 0, 0) for batch in (2, 4))
            >>> Growth(two, four).peak(1)
            {'passing': 11}
        """
        share = (batch - self.one.rows.batch) / (self.other.rows.batch - self.one.rows.batch)
        return {
            part: max(0, round(size + share * (self.other.peak[part] - size))) for part, size in self.one.peak.items()
        }


def layout(
    strategy: str, devices: int, model: ModelBytes, growth: Growth, batch_size: int, *, replicas: int = 1
) -> Layout:
    """A strategy over devices that share a batch.

    Args:
        strategy: `ONE`, `DDP` or `FSDP2`.
        devices: how many.
        model: what the model takes.
        growth: what a step takes.
        batch_size: rows of each stream over all devices.
        replicas: copies of the model under FSDP2.
    """
    parts = growth.peak(batch_size / devices)
    if strategy == DDP:
        parts["DDP's buckets"] = parts[GRADIENTS]
    if strategy == FSDP2:
        whole, share = parts[WEIGHTS] - model.whole, devices // replicas
        parts = {part: size if part in (KEPT, PASSING) else size // share for part, size in parts.items()}
        parts[WEIGHTS] = whole // share
        parts["gathered modules"] = model.whole + _GATHERED * model.unit
    return Layout(strategy, devices, parts, replicas)


def layouts(model: ModelBytes, growth: Growth, batch_size: int, counts: Sequence[int] = (2, 4, 8)) -> list[Layout]:
    """One device, and DDP and FSDP2 over each number of devices that can share the batch evenly."""
    shared = [count for count in counts if batch_size % count == 0]
    pairs = [(ONE, 1), *((name, count) for name in (DDP, FSDP2) for count in shared)]
    return [layout(name, count, model, growth, batch_size) for name, count in pairs]
