"""A whole run at a published shape: `python -m benchmarks.scale --shape llama-3-8b --method RMU --device cuda`.

Load, steps, export and questions, through a Trainer as `fit` and `validate` have it, on random bf16 weights and
generated texts; beside each peak of memory what `lit-unlearn plan` predicts. `fit` and `evaluation` are processes of
their own. What does not fit is named and left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from benchmarks import whole_run
from benchmarks.checkpoint import holds, write_checkpoint
from benchmarks.phase_table import shown
from benchmarks.phases import Phase
from benchmarks.predicted import Predicted, free_disk, free_memory, predict, too_large
from benchmarks.shapes import SHAPES, published
from benchmarks.step import METHODS
from lit_unlearn.cli import refusals
from lit_unlearn.commands.log_filter import quiet
from lit_unlearn.errors import InputError

_PARTS = {"fit": whole_run.fit, "evaluation": whole_run.evaluate}
_OUT_OF_MEMORY = 3
"""Exit status of a part that the GPU had no memory for."""
_KILLED = -9
_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "65536",  # freed memory goes back at once, so that what is resident is what is alive
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
"""Of a part's process."""


def main(words: Sequence[str] | None = None) -> None:
    """Measures and prints; writes the same as JSON where it is asked for.

    Raises:
        SystemExit: an option cannot be used, or a part fails otherwise than for lack of memory.
    """
    words = sys.argv[1:] if words is None else words
    options = parsed(words)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"--device: {options.device} is not here; take cpu, or run where there is a GPU")
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as place:
        folder, config = Path(place), published(options.shape, options.layers)
        if options.part:
            _run_part(folder, options)
            return
        if not holds(folder, config):
            write_checkpoint(folder, config, torch.device(options.device))
        found = measure(folder, options, words)
    print(shown(found), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(folder: Path, options: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """Everything about a run.

    Args:
        folder: of the model.
        options: of the command.
        words: the same, as they were given.
    """
    plan = _plan(folder, options)
    left_out = dict(_too_large(folder, plan, options)) | dict.fromkeys(options.leave_out, "as asked for")
    phases: dict[str, Phase] = {}
    for part in _PARTS:
        if part not in left_out:
            found = _part_apart(part, folder, [*words, "--leave-out", *left_out])
            if isinstance(found, str):
                left_out[part] = found
            else:
                phases |= found
    own = (
        "shape",
        "method",
        "layer",
        "rows",
        "tokens",
        "questions",
        "precision",
        "activation_checkpointing",
        "threads",
    )
    return {
        **{name: getattr(options, name) for name in own},
        "layers": published(options.shape, options.layers).num_hidden_layers,
        "device": _device(options),
        "files_gib": plan.exported / 2**30,
        "phases": {name: _described(name, phase, plan, options) for name, phase in phases.items()},
        "left_out": left_out,
    }


def _plan(folder: Path, options: argparse.Namespace) -> Predicted:
    try:
        with quiet():
            return predict(folder, options)
    except InputError as error:
        raise SystemExit(str(error)) from None


def _too_large(folder: Path, plan: Predicted, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The parts for which there is no room, and why."""
    free = free_memory(torch.device(options.device))
    rooms = {
        "fit": (plan.memory["step"], free),
        "export": (plan.exported, free_disk(folder)),
        "evaluation": (plan.memory["evaluation"], free),
    }
    for part, (needed, there) in rooms.items():
        reason = too_large(needed, there)
        if reason is not None:
            yield part, reason


def _part_apart(part: str, folder: Path, words: Sequence[str]) -> dict[str, Phase] | str:
    """The phases of a part, in a process of its own, or why there are none.

    Raises:
        SystemExit: it failed otherwise than for lack of memory.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = Path(work) / "phases.json"
        command = [sys.executable, "-m", "benchmarks.scale", *words, "--folder", str(folder)]
        command += ["--part", part, work, "--json", str(result)]
        own = _ENVIRONMENT | {"HF_DATASETS_CACHE": f"{work}/datasets"}
        done = subprocess.run(command, env=os.environ | own, stdout=subprocess.DEVNULL)
        if done.returncode in (_OUT_OF_MEMORY, _KILLED):
            return "out of memory"
        if done.returncode:
            raise SystemExit(f"{part} failed with exit status {done.returncode}")
        return {name: Phase(*phase) for name, phase in json.loads(result.read_text()).items()}


def _run_part(folder: Path, options: argparse.Namespace) -> None:
    part, work = options.part
    try:
        with quiet():
            found = _PARTS[part](folder, Path(work), options)
    except torch.OutOfMemoryError:
        raise SystemExit(_OUT_OF_MEMORY) from None
    options.json.write_text(json.dumps(found))


def _described(name: str, phase: Phase, plan: Predicted, options: argparse.Namespace) -> dict[str, float | None]:
    """A phase's numbers; no plan predicts the memory of an export."""
    seconds, predicted = median(phase.seconds), plan.memory.get(name)
    found = {
        "seconds": seconds,
        "gib": phase.peak / 2**30,
        "predicted_gib": None if predicted is None else predicted / 2**30,
        "measured_over_predicted": None if predicted is None else phase.peak / predicted,
    }
    if name == "step":
        found |= {"tokens_per_second": 2 * options.rows * options.tokens / seconds}
        found |= {"tflops_per_second": plan.flops / seconds / 1e12}
    return found | ({"questions_per_second": options.questions / seconds} if name == "evaluation" else {})


def _device(options: argparse.Namespace) -> str:
    device = torch.device(options.device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {options.threads}"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description="A whole run at a published shape, on random weights.")
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--layers", type=int, help="number of the shape's decoder layers; all if not given")
    parser.add_argument("--method", choices=METHODS, default="RMU")
    parser.add_argument("--layer", type=int, default=7, help="steering layer")
    parser.add_argument("--rows", type=int, default=4, help="of each stream")
    parser.add_argument("--tokens", type=int, default=512, help="of each row")
    parser.add_argument("--steps", type=int, default=10, help="steps, and batches of questions, that are timed")
    parser.add_argument("--questions", type=int, default=60, help="of a batch, each of about 120 tokens")
    parser.add_argument("--precision", default="bf16-mixed", help="as trainer.precision")
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--leave-out", choices=("fit", "export", "evaluation"), nargs="*", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="the model's, kept and used again; a temporary one if not given")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    with refusals("benchmarks.scale"):
        main()
