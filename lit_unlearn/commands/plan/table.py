"""A plan as text."""

from collections.abc import Sequence
from typing import NamedTuple

from lit_unlearn.commands.plan.check import Check
from lit_unlearn.commands.plan.disk import Written
from lit_unlearn.commands.plan.machines import GPU, GPUS, UTILISATION, Machine
from lit_unlearn.commands.plan.row_forward import RowForward
from lit_unlearn.commands.plan.strategies import Layout
from lit_unlearn.runs.tables import aligned

_ABOUT = {
    "passing": "values between two operations; batches; what backward computes again",
    "kept for backward": "activations from the first trained layer on",
    "frozen copies": "the trained matrices as they were",
}


class Unit(NamedTuple):
    """In what bytes are shown."""

    name: str
    bytes: int

    def shown(self, size: int) -> str:
        """A number of bytes in this unit.

        Example:
            >>> Unit("MiB", 2**20).shown(3 * 2**19)
            '1.50'
        """
        return f"{size / self.bytes:.2f}"


def unit(size: int) -> Unit:
    """The unit for sizes up to this one."""
    return Unit("GiB", 2**30) if size >= 2**30 else Unit("MiB", 2**20)


def memory(chosen: Layout, weights_read: int) -> list[str]:
    """The parts of a process's memory at its peak."""
    own = unit(chosen.total)
    notes = _ABOUT | {"weights": f"untrained, as loaded; a step reads {own.shown(weights_read)} of them"}
    rows = [(part, own.shown(size), notes.get(part, "")) for part, size in chosen.parts.items()]
    title = f"memory at the peak of a step, {chosen.name}"
    return _indented([(title, own.name, ""), *rows, ("together", own.shown(chosen.total), f"most by {chosen.binds}")])


def disk(files: Sequence[Written]) -> list[str]:
    """What is written."""
    if not files:
        return []
    own = unit(max(one.size for one in files))
    rows = [(one.name, own.shown(one.size), f"{one.files} in the end" if one.files > 1 else "") for one in files]
    return _indented([("on disk, at most at one time", own.name, ""), *rows])


def times(flops: float, batches: int | None, precision: str, machine: Machine | None = None) -> list[str]:
    """How long each GPU takes alone, or a machine's together.

    Args:
        flops: of a batch in all processes.
        batches: of the whole run, if that is known.
        precision: of the Trainer.
        machine: that the run is planned for, if not this one.
    """
    rows = []
    for one in GPUS if machine is None else dict.fromkeys([Machine(1, machine.gpu), machine]):
        gpu = one if isinstance(one, GPU) else one.gpu
        seconds = one.seconds(flops, precision)
        run = "-" if seconds is None or batches is None else duration(seconds * batches)
        rows.append((one.name, str(gpu.gigabytes), "-" if seconds is None else f"{seconds:.2g}", run))
    note = f"An estimate: {UTILISATION:.0%} of the data sheet's rate, every row at its longest"
    note += "." if machine is None else "; no time for communication between GPUs."
    head = "one GPU" if machine is None else "GPUs"
    return [*_indented([(head, "GB", "s per batch", "whole run"), *rows]), f"  {note}"]


def before_training(row: RowForward) -> list[str]:
    """What `analyse strays` takes for each row of the streams."""
    return [
        f"  `lit-unlearn analyse strays` runs {row.layers} layers once for each row: {row.flops / 1e12:.2g} TFLOP for "
        f"{row.tokens} tokens"
    ]


def strategies(layouts: Sequence[Layout]) -> list[str]:
    """What each strategy takes, and on which GPUs it fits."""
    own = unit(max(one.total for one in layouts))
    rows = [(f"{own.name} with", "each device", "most by", *(gpu.name for gpu in GPUS))]
    for one in layouts:
        fits = ["fits" if one.total <= gpu.memory else "-" for gpu in GPUS]
        rows.append((one.name, own.shown(one.total), one.binds, *fits))
    return _indented(rows)


def checked(found: Sequence[Check], machine: Machine | None = None) -> list[str]:
    """What a machine has and lacks; None is this one."""
    return [
        "this machine" if machine is None else machine.name,
        *_indented([(one.status, one.name, _sentence(one)) for one in found]),
    ]


def _sentence(check: Check) -> str:
    return f"{check.found}; {check.remedy}" if check.remedy else check.found


def duration(seconds: float) -> str:
    """Seconds as a reader says it.

    Example:
        >>> duration(50), duration(1500), duration(9000)
        ('50 s', '25 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows)]
