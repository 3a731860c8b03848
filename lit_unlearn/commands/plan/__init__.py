"""`lit-unlearn plan`: what a run takes, and what will fail on this machine, before anything is loaded."""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lit_unlearn.commands.log_filter import quiet, silent
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.config_files import located
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.plan import table
from lit_unlearn.commands.plan.check import Check
from lit_unlearn.commands.plan.config import STRATEGIES, PlanCLI
from lit_unlearn.commands.plan.disk import Written, written
from lit_unlearn.commands.plan.machine_checks import checks, checks_of_another
from lit_unlearn.commands.plan.machines import GPUS, UTILISATION, Machine, machine
from lit_unlearn.commands.plan.row_forward import RowForward, row_forward
from lit_unlearn.commands.plan.step import ModelBytes, Step, StepRows, simulate
from lit_unlearn.commands.plan.strategies import Growth, Layout, layout, layouts
from lit_unlearn.data.steps import check_share
from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import write_whole
from lit_unlearn.runs.waiting import announced


class Plan(NamedTuple):
    """What a run takes."""

    title: str
    """What is planned, in a line."""
    precision: str
    model: ModelBytes
    step: Step
    """That with the longest rows, in one process."""
    flops: float
    """Operations of a batch in all processes, a mean over topics."""
    batches: int | None
    """Of the whole run; None where the data decides."""
    row: RowForward
    """A forward to the steering layer, which `analyse strays` makes for each row."""
    chosen: Layout
    """The config's strategy."""
    layouts: list[Layout]
    files: list[Written]
    checks: list[Check]
    machine: Machine | None = None
    """That the run is planned for; None is this one."""

    def text(self) -> str:
        """As a table."""
        sections = [
            [self.title],
            table.memory(self.chosen, self.step.weights_read),
            table.disk(self.files),
            table.strategies(self.layouts),
            table.times(self.flops, self.batches, self.precision, self.machine),
            table.before_training(self.row),
            table.checked(self.checks, self.machine),
        ]
        return "\n\n".join("\n".join(lines) for lines in sections if lines)

    def as_json(self) -> dict[str, Any]:
        """All numbers, in bytes, operations and seconds."""
        return {
            "title": self.title,
            "precision": self.precision,
            "model": self.model._asdict(),
            "step": self.step._asdict() | {"rows": self.step.rows._asdict()},
            "flops_per_batch": self.flops,
            "batches": self.batches,
            "row_forward": self.row._asdict(),
            "chosen": _layout(self.chosen),
            "layouts": [_layout(one) for one in self.layouts],
            "utilisation": UTILISATION,
            "machine": self.machine
            and {
                "name": self.machine.name,
                "seconds_per_batch": self.machine.seconds(self.flops, self.precision),
            },
            "gpus": [gpu._asdict() | {"seconds_per_batch": gpu.seconds(self.flops, self.precision)} for gpu in GPUS],
            "files": [one._asdict() | {"folder": str(one.folder)} for one in self.files],
            "checks": [check._asdict() for check in self.checks],
        }


def main(words: Sequence[str], *, attack: Callable[[list[str]], None]) -> None:
    """Prints what a run would take and what would fail here, and what an attack card of its model would cost.

    Args:
        words: after `plan`.
        attack: runs `lit-unlearn attack` with further words.

    Raises:
        InputError: an option cannot be used, or the model's configuration cannot be read.
        SystemExit: with status 1 where something will fail.
    """
    options, shared = _parser().parse_known_args(words)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise InputError(f"--json: there is no folder {options.json.absolute().parent}; make it, or name another")
    if options.json is not None and options.json.is_dir():
        raise InputError(f"--json: {options.json} is a folder; give a file's name, such as {options.json}/plan.json")
    if options.attack is not None:
        located(options.attack, option="--attack")  # refused before anything is planned
    other = None if options.machine is None else machine(options.machine)
    if other is not None:
        shared += ["--trainer.accelerator=gpu", f"--trainer.devices={other.gpus}"]
    with quiet(), silent():
        config = PlanCLI(Words.read(shared, command="fit"))
        if other is not None:
            other = other._replace(gpus=config.processes)  # of all machines: trainer.num_nodes
        found = plan(config, other)
    print(found.text())
    if options.json is not None:
        write_whole(options.json, json.dumps(found.as_json(), indent=1) + "\n")
    if options.attack is not None:
        _attacked(config.model.model_source.given, options.attack, attack)
    failing = [check.name for check in found.checks if check.status == "fails"]
    if failing:
        print(f"\n{'There' if other else 'Here'} `fit` would fail: {', '.join(failing)}.")
        raise SystemExit(1)


def plan(config: PlanCLI, elsewhere: Machine | None = None) -> Plan:
    """What the run of a config takes.

    Args:
        config: of the run.
        elsewhere: a machine to plan for; None is this one.

    Raises:
        InputError: what is to be trained is not found, or the batch cannot be shared by the processes.
    """
    strategy, processes, size = config.strategy, config.processes, config.datamodule.batch_size
    check_share(size, processes)
    topics = config.rows(processes)
    longest = max(topics, key=lambda rows: rows.tokens)
    other = longest._replace(batch=1 if longest.batch > 1 else 2)
    model, steps = _simulated(config, list(dict.fromkeys([*topics, other])))
    step, growth = steps[longest], Growth(steps[longest], steps[other])
    flops = sum(processes * (steps[rows].forward + steps[rows].backward) for rows in topics) / len(topics)
    chosen = layout(strategy, processes, model, growth, size, replicas=config.replicas)
    others = [one for one in layouts(model, growth, size) if one.name != chosen.name]
    files = written(config, model)
    return Plan(
        _title(config, longest, flops),
        config.precision,
        model,
        step,
        flops,
        config.batches,
        row_forward(config.model, max(max(rows.forget, rows.retain) for rows in topics)),
        chosen,
        sorted([chosen, *others], key=lambda one: (STRATEGIES.index(one.strategy), one.replicas, one.devices)),
        files,
        checks_of_another(config, chosen, elsewhere) if elsewhere else checks(config, chosen, files, flops / processes),
        elsewhere,
    )


def _attacked(model: str, config: str, attack: Callable[[list[str]], None]) -> None:
    """Prints what the card costs of a model of this shape; nothing is kept."""
    print(f"\nan attack card by {config}, of one model with one seed\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        attack([model, "--base", model, "-c", config, "--out", folder, "--plan"])


def _simulated(config: PlanCLI, rows: Sequence[StepRows]) -> tuple[ModelBytes, dict[StepRows, Step]]:
    callbacks = config.trainer_options.callbacks or []
    whole = config.model.needs_whole_model(config.datamodule, callbacks)
    foreach = str(config.trainer_options.accelerator) != "cpu"
    with announced("simulating a training step"):
        model, steps = simulate(config.model, rows, precision=config.precision, whole=whole, foreach=foreach)
    return model, {step.rows: step for step in steps}


def _title(config: PlanCLI, rows: StepRows, flops: float) -> str:
    module = config.model
    losses = f"{type(module.forget).__name__} + {type(module.retain).__name__}"
    tokens = f"{rows.batch} rows of up to {rows.forget} forget and {rows.retain} retain tokens in a process"
    return f"{module.model_source.given}: {losses}, {config.precision}, {tokens}, {flops / 1e12:.3g} TFLOP per batch"


def _layout(one: Layout) -> dict[str, Any]:
    return one._asdict() | {"total": one.total, "binds": one.binds}


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="lit-unlearn plan",
        description="What a run takes (memory by part, operations, time on named GPUs, which strategies fit) and what "
        "will fail on this machine, from the model's configuration alone. Exit status 1 if something will. All other "
        "options are those of fit.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--for",
        dest="machine",
        metavar="MACHINE",
        help="plan for another machine than this one, such as 8xH100: its GPUs are all devices, and nothing here is "
        "checked; the time for several GPUs is an estimate",
    )
    parser.add_argument(
        "--attack",
        metavar="CONFIG",
        help="print also what an attack card of the model costs by this config of lit-unlearn attack, such as "
        "attack.yaml, whose data is read for that",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers as JSON")
    return parser
