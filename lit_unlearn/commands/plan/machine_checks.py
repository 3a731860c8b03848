"""What will fail on this machine, found before it starts."""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import distribution, requires, version
from importlib.util import find_spec
from pathlib import Path

import torch
from packaging.requirements import Requirement

from lit_unlearn.callbacks.answer_evaluation import AnswerEvaluation
from lit_unlearn.commands.fit.checks import check_devices, devices
from lit_unlearn.commands.plan import hub
from lit_unlearn.commands.plan.check import Check, refused
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.commands.plan.disk import Written
from lit_unlearn.commands.plan.export_check import check_export
from lit_unlearn.commands.plan.machines import Machine
from lit_unlearn.commands.plan.processor import measured_rate, program_memory
from lit_unlearn.commands.plan.strategies import Layout
from lit_unlearn.commands.plan.streams_check import check_streams
from lit_unlearn.commands.plan.table import duration, unit
from lit_unlearn.commands.plan.tokenizer_check import check_tokenizer
from lit_unlearn.running.compiled_layers import check_compiler
from lit_unlearn.runs.atomic_files import existing

_SMALLER = "see which strategies fit; a smaller data.batch_size, shorter rows"
_SLOW = 60.0
"""Seconds of a batch from which on a processor is noted."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def checks(config: PlanCLI, layout: Layout, files: Sequence[Written], flops: float) -> list[Check]:
    """Everything that a run needs and this machine has or lacks.

    Args:
        config: of the run.
        layout: what each device takes under the config's strategy.
        files: what the run writes.
        flops: of a batch, in one process.
    """
    on_gpu, callbacks = runs_on_gpu(config), config.trainer_options.callbacks or []
    scored = any(isinstance(one, AnswerEvaluation) for one in callbacks)
    return [
        *_trainer(config),
        *(_gpus(config, layout) if on_gpu else [*_processor(config, flops), _memory(layout, program_memory())]),
        *_disk(files),
        config.folder_check or Check(f"folder {config.folder_of_run}", "ok", "can be written"),
        hub.check_model(config.model.model_source),
        *check_export(config),
        *check_tokenizer(config),
        *check_streams(config),
        *hub.check_data(config.datamodule, answers=scored, preferred=config.model.needs_preferred),
        *_attention(config.model.model_source.attn_implementation),
        *_versions(),
    ]


def checks_of_another(config: PlanCLI, layout: Layout, machine: Machine) -> list[Check]:
    """What can be said of another machine than this one: whether its GPUs hold the run, and what is true everywhere.

    Args:
        config: of the run.
        layout: what each device takes under the config's strategy.
        machine: the other.
    """
    fits = layout.total <= machine.gpu.memory
    found = f"{_shown(machine.gpu.memory)}, {_shown(layout.total)} needed on each; most by {layout.binds}"
    memory = Check("memory of a GPU", "ok" if fits else "fails", found, "" if fits else _SMALLER)
    return [memory, *check_export(config), *check_streams(config)]


def runs_on_gpu(config: PlanCLI) -> bool:
    """Whether the run takes a GPU here, or asks for one."""
    wanted = str(config.trainer_options.accelerator)
    return wanted in ("gpu", "cuda") or (wanted == "auto" and torch.cuda.is_available())


def host_memory() -> int:
    """Bytes of memory that processes here may take."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP.read_text().strip() if _CGROUP.is_file() else "max"
    return installed if limit == "max" else min(installed, int(limit))


def _trainer(config: PlanCLI) -> Iterator[Check]:
    """What Lightning and fit would say of the devices that are asked for."""
    found = refused(partial(check_devices, config.trainer_options)) or refused(config.check_trainer_here)
    if found is not None:
        yield found
    if config.model.compile_layers:
        device = torch.device("cuda" if runs_on_gpu(config) else "cpu")
        found = refused(partial(check_compiler, device, sharded=config.strategy.startswith("FSDP")))
        yield found or Check("model.compile", "ok", "layers can be compiled here")


def _gpus(config: PlanCLI, layout: Layout) -> Iterator[Check]:
    there, wanted = torch.cuda.device_count(), devices(config.trainer_options.devices)
    for index in range(min(there, wanted)):
        free, _ = torch.cuda.mem_get_info(index)
        fits = layout.total <= free
        found = f"{_shown(free)} free, {_shown(layout.total)} needed; most by {layout.binds}"
        remedy = "" if fits else _SMALLER
        yield Check(f"GPU {index}, {torch.cuda.get_device_name(index)}", "ok" if fits else "fails", found, remedy)


def _processor(config: PlanCLI, flops: float) -> Iterator[Check]:
    if config.precision == "16-mixed":
        yield Check("precision", "note", "16-mixed on a processor, where Lightning takes bf16-mixed")
    rate = measured_rate(config.precision)
    seconds = flops / rate
    whole = "" if config.batches is None else f", {duration(seconds * config.batches)} of training"
    found = (
        f"no GPU is used: {flops / 1e12:.2g} TFLOP in a batch take at least {seconds:.2g} s{whole}, at the "
        f"{rate / 1e9:.{0 if rate >= 1e10 else 1}f} GFLOP/s of a matrix product here"
    )
    yield Check("processor", "note" if seconds > _SLOW else "ok", found)


def _memory(layout: Layout, program: int) -> Check:
    """Whether the host's memory is enough.

    Args:
        layout: what each process takes of the model and the step.
        program: bytes that each takes beside.
    """
    needed = layout.devices * (layout.total + program)
    fits = needed <= host_memory()
    beside = f", {_shown(layout.devices * program)} of it for Python and its packages" if program else ""
    found = f"{_shown(host_memory())}, {_shown(needed)} needed{beside}"
    return Check("memory", "ok" if fits else "fails", found, "" if fits else "a machine with more, or fewer processes")


def _disk(files: Sequence[Written]) -> Iterator[Check]:
    """Each file system on which something is written."""
    sizes: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for one in files:
        place = existing(one.folder)
        sizes[place.stat().st_dev] += one.size
        places[place.stat().st_dev] = place
    for device, needed in sizes.items():
        free = shutil.disk_usage(places[device]).free
        fits = needed <= free
        remedy = "" if fits else "set trainer.default_root_dir to a folder on a larger disk"
        found = f"{_shown(free)} free, {_shown(needed)} to be written"
        yield Check(f"disk of {places[device]}", "ok" if fits else "fails", found, remedy)


def _attention(implementation: str | None) -> Iterator[Check]:
    if implementation is not None and implementation.startswith("flash_attention"):
        there = find_spec("flash_attn") is not None
        remedy = "" if there else "install flash-attn, or set model.attn_implementation to sdpa"
        yield Check("flash-attn", "ok" if there else "fails", "installed" if there else "not installed", remedy)


def _versions() -> Iterator[Check]:
    """The installed packages against the lower bounds of ours."""
    needed = [Requirement(line) for line in requires("lit-unlearn") or []]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [one for one in needed if not one.specifier.contains(version(one.name), prereleases=True)]
    for one in wrong:
        yield Check(one.name, "fails", f"{version(one.name)}, {one.specifier} needed", f"pip install '{one}'")
    if not wrong:
        yield Check("packages", "ok", f"as lit-unlearn {distribution('lit-unlearn').version} asks for")


def _shown(size: int) -> str:
    own = unit(size)
    return f"{own.shown(size)} {own.name}"
