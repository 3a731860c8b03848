"""What `lit-unlearn plan` predicts of a run, to stand beside what is measured."""

import argparse
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.whole_run import module_of
from lit_unlearn.commands.plan.ledger import COPIES, TRAINED, WEIGHTS
from lit_unlearn.commands.plan.step import StepRows, simulate


class Predicted(NamedTuple):
    """Bytes and operations of a run."""

    memory: dict[str, int]
    """Of each phase. Of evaluation a plan knows the whole model's weights alone."""
    exported: int
    """On disk."""
    flops: int
    """Of a step."""


def predict(folder: Path, options: argparse.Namespace) -> Predicted:
    """The plan of a run.

    Args:
        folder: of the model.
        options: of the command.

    Raises:
        InputError: an option cannot be used.
    """
    module, rows = module_of(folder, options), StepRows(options.rows, options.tokens, options.tokens)
    module.check_model()
    model, (step,) = simulate(
        module,
        [rows],
        precision=options.precision,
        whole=module.needs_whole_model(None, []),
        foreach=options.device != "cpu",
    )
    loaded = sum(step.peak[part] for part in (WEIGHTS, TRAINED, COPIES))
    whole = dict.fromkeys(("load, whole model", "evaluation"), model.exported)
    memory = {"load": loaded, "step": sum(step.peak.values()), **whole}
    return Predicted(memory, model.exported, step.forward + step.backward)


def too_large(needed: int, there: int) -> str | None:
    """Why something does not fit; None if it does.

    Example:
        >>> too_large(3 * 2**30, 2 * 2**30)
        '3.00 GiB are predicted, 2.00 GiB are free'
    """
    return None if needed <= there else f"{needed / 2**30:.2f} GiB are predicted, {there / 2**30:.2f} GiB are free"


def free_memory(device: torch.device) -> int:
    """Bytes that a device has left."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert found
    return 1024 * int(found[1])


def free_disk(folder: Path) -> int:
    """Bytes that a folder's disk has left."""
    return shutil.disk_usage(folder).free
