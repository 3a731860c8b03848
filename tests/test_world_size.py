"""Several processes train as one under each strategy: losses, gradients, weights, answers; each goes on from the other.

With NPO the several compute activations again in backward, and the one does not.
"""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import DoublePrecision
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from lit_unlearn import (
    FSDP1,
    NPO,
    RMU,
    RSV,
    AdaptiveRMU,
    LogitKL,
    PerturbationRobustness,
    UnlearnModule,
)
from lit_unlearn.distributed.sharding import gathered, gathered_parameter
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from tests.distributed.fsdp1_on_cpu import FSDP1Double, FSDP1OnCPU
from tests.processes import free_port, run_in_several, torchrun_variables
from tests.questions.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer

STEPS, HALF = 6, 3
METHODS = ("RMU", "AdaptiveRMU", "RSV", "NPO")
STRATEGIES = ("ddp", "fsdp1", "fsdp2")
TOLERANCE = {"cpu": 1e-9, "cuda": 1e-6}
"""Of what a device computes, against one process on the CPU."""


class Kept(L.Callback):
    """The loss of every step, over all processes; the gradients of the last; the weights in the end."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.gradients: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        assert isinstance(pl_module, UnlearnModule)
        self.gradients = {name: gathered_gradient(pl_module, name) for name in pl_module.trained_parameters()}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        self.weights = {name: gathered_parameter(pl_module, name) for name in pl_module.trained_parameters()}


def gathered_gradient(module: UnlearnModule, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    owner = module.get_submodule(path)
    if not isinstance(owner, FullyShardedDataParallel):
        return gathered(owner.get_parameter(own).grad).clone()
    with FullyShardedDataParallel.summon_full_params(owner, recurse=False, with_grads=True):
        return gathered(owner.get_parameter(own).grad).clone()


def losses(method: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {
        "RMU": {"forget": RMU(6.5)},
        "AdaptiveRMU": {"forget": AdaptiveRMU(3.0)},
        "RSV": {"forget": RSV(5.0)},
        "NPO": {"forget": NPO(0.1), "retain": LogitKL()},
    }
    return found[method]


class Place(NamedTuple):
    """Where a run trains."""

    kind: str = "auto"
    device: str = "cpu"
    processes: int = 1
    replicas: int = 1

    def strategy(self) -> Any:
        if self.kind == "fsdp1":
            return FSDP1OnCPU() if self.device == "cpu" else FSDP1()
        if self.kind in ("fsdp2", "hsdp"):
            return ModelParallelStrategy(self.processes, tensor_parallel_size=1, save_distributed_checkpoint=False)
        return self.kind


ONE = Place()


def train(world: Path, folder: Path, method: str, place: Place = ONE, resumed: Path | None = None) -> None:
    """Trains, keeping everything in the folder; every process of the run calls it."""
    kept, every = Kept(), ModelCheckpoint(folder, filename="{step}", every_n_train_steps=HALF, save_top_k=-1)
    questions = {name: write_questions(world / f"{name}.questions.jsonl") for name in ("forget", "retain")}
    questions["cloze"] = replace(write_questions(world / "cloze.questions.jsonl", 5), format="cloze")
    perturbations = {
        "one": PerturbationSource(n=1, sets=["forget", "retain"]),
        "stem": PerturbationSource(n=1, position="stem", sets=["cloze"]),
    }
    evaluation = EvaluationSource(questions, perturbations, max_tokens=128)
    trainer = quiet_trainer(
        folder,
        max_steps=STEPS,
        val_check_interval=STEPS,
        check_val_every_n_epoch=None,
        callbacks=[kept, every, PerturbationRobustness()],
        enable_checkpointing=True,
        # By its name Lightning refuses it to models that are sharded.
        plugins=[FSDP1Double() if place.kind == "fsdp1" else DoublePrecision()],
        accelerator=place.device,
        devices=place.processes,
        strategy=place.strategy(),
    )
    again = method == "NPO" and place.processes > 1
    shared: dict[str, Any] = {"noise_scale": 0.3, "seed": 0, "replicas": place.replicas}
    module = demo_module(world, **shared | losses(method), activation_checkpointing=again)
    trainer.fit(module, demo_data(world, seed=0, evaluation=evaluation), ckpt_path=resumed and str(resumed))
    if trainer.is_global_zero:
        torch.save({"losses": kept.losses, "gradients": kept.gradients, "weights": kept.weights}, folder / "kept.pt")


def join(rank: int, processes: int, port: str) -> None:
    """Makes this process one of several of a run."""
    os.environ |= torchrun_variables(rank, processes, port)


def one_of_several(rank: int, processes: int, device: str, port: str, world: Path, folder: Path) -> None:
    """Every run of several processes with one copy of the model, in one of them."""
    join(rank, processes, port)
    for kind in STRATEGIES:
        where = Place(kind, device, processes)
        for method in METHODS:
            train(world, folder / f"{kind}-{method}", method, where)
        train(world, folder / f"{kind}-from-one", "RMU", where, folder / "one-RMU" / f"step={HALF}.ckpt")


def one_of_four(rank: int, port: str, world: Path, folder: Path) -> None:
    """Every run of four processes with two copies of the model, in one of them."""
    join(rank, 4, port)
    place = Place("hsdp", "cpu", 4, replicas=2)
    train(world, folder / "hsdp-NPO", "NPO", place)
    train(world, folder / "hsdp-from-one", "NPO", place, folder / "one-NPO" / f"step={HALF}.ckpt")


@pytest.fixture(
    scope="module", params=[pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def device(request: pytest.FixtureRequest) -> str:
    """Of the runs with a strategy; those without are the CPU's, on which the others go on and with which they agree."""
    return str(request.param)


@pytest.fixture(scope="module")
def runs(world: Path, tmp_path_factory: pytest.TempPathFactory, device: str) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for method in METHODS:
        train(world, folder / f"one-{method}", method)
    processes = 2 if device == "cpu" else min(2, torch.cuda.device_count())
    several = (processes, device, free_port(), world, folder)
    run_in_several(one_of_several, several, processes)
    for kind in STRATEGIES:
        train(world, folder / f"one-from-{kind}", "RMU", resumed=folder / f"{kind}-RMU" / f"step={HALF}.ckpt")
    return folder


def assert_same(one: Path, other: Path, device: str) -> None:
    """To the device's tolerance what was computed, exactly what was answered."""
    assert_near = partial(torch.testing.assert_close, rtol=TOLERANCE[device], atol=TOLERANCE[device])
    kept, expected = (torch.load(folder / "kept.pt", map_location="cpu") for folder in (one, other))
    assert len(expected["losses"]) >= HALF
    assert_near(kept["losses"], expected["losses"][-len(kept["losses"]) :])
    for part in ("gradients", "weights"):
        assert kept[part].keys() == expected[part].keys() != set()
        for name, value in kept[part].items():
            assert_near(value, expected[part][name])
    answers, same = (json.loads((folder / "results.json").read_text())["evaluations"] for folder in (one, other))
    assert answers == same


@pytest.mark.xdist_group("world size")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", STRATEGIES)
def test_two_processes_train_and_answer_as_one(runs: Path, device: str, kind: str, method: str) -> None:
    assert_same(runs / f"{kind}-{method}", runs / f"one-{method}", device)


@pytest.mark.xdist_group("world size")
@pytest.mark.parametrize(
    "name", [*(f"{kind}-from-one" for kind in STRATEGIES), *(f"one-from-{kind}" for kind in STRATEGIES)]
)
def test_a_run_goes_on_in_another_number_of_processes(runs: Path, device: str, name: str) -> None:
    assert_same(runs / name, runs / "one-RMU", device)


@pytest.mark.slow
def test_two_copies_of_two_processes_each_train_as_one_and_resume(world: Path, tmp_path: Path) -> None:
    one, place = tmp_path / "one-NPO", tmp_path / "hsdp-NPO"
    train(world, one, "NPO")
    run_in_several(one_of_four, (free_port(), world, tmp_path), 4)
    train(world, tmp_path / "one-from-hsdp", "NPO", resumed=place / f"step={HALF}.ckpt")
    for name in ("hsdp-NPO", "hsdp-from-one", "one-from-hsdp"):
        assert_same(tmp_path / name, one, "cpu")
