"""Two processes train as one, under DDP and FSDP2: losses, gradients, weights, answers; each goes on from the other."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.multiprocessing as mp
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import DoublePrecision
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from lit_unlearn import (
    NPO,
    RMU,
    RSV,
    AdaptiveRMU,
    LogitKL,
    PerturbationRobustness,
    UnlearnModule,
)
from lit_unlearn.data.sets import EvaluationSource, PerturbationSource
from lit_unlearn.sharding import gathered
from tests.data.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer

STEPS, HALF = 10, 5
METHODS = ("RMU", "AdaptiveRMU", "RSV", "NPO")
STRATEGIES = ("ddp", "fsdp2")


class Kept(L.Callback):
    """The loss of every step, over all processes; the gradients of the last; the weights in the end."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.gradients: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        named = pl_module.named_parameters()
        self.gradients = {name: gathered(value.grad).clone() for name, value in named if value.grad is not None}

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        self.weights = {name: gathered(value).clone() for name, value in pl_module.trained_parameters().items()}


def losses(method: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {
        "RMU": {"forget": RMU(6.5)},
        "AdaptiveRMU": {"forget": AdaptiveRMU(3.0)},
        "RSV": {"forget": RSV(5.0)},
        "NPO": {"forget": NPO(0.1), "retain": LogitKL()},
    }
    return found[method]


def strategy(name: str) -> Any:
    if name == "fsdp2":
        return ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, save_distributed_checkpoint=False)
    return name


def train(world: Path, folder: Path, method: str, kind: str, processes: int, resumed: Path | None = None) -> None:
    """Trains, keeping everything in the folder; every process of the run calls it."""
    kept, every = Kept(), ModelCheckpoint(folder, filename="{step}", every_n_train_steps=HALF, save_top_k=-1)
    questions = {name: write_questions(world / f"{name}.questions.jsonl") for name in ("forget", "retain")}
    evaluation = EvaluationSource(questions, {"one": PerturbationSource(n=1)}, max_tokens=64)
    trainer = quiet_trainer(
        folder,
        max_steps=STEPS,
        val_check_interval=STEPS,
        check_val_every_n_epoch=None,
        callbacks=[kept, every, PerturbationRobustness()],
        enable_checkpointing=True,
        plugins=[DoublePrecision()],  # by its name Lightning refuses it under FSDP2
        devices=processes,
        strategy=strategy(kind),
    )
    module = demo_module(world, **{"noise_scale": 0.3, "seed": 0} | losses(method))
    trainer.fit(module, demo_data(world, seed=0, evaluation=evaluation), ckpt_path=resumed and str(resumed))
    if trainer.is_global_zero:
        torch.save({"losses": kept.losses, "gradients": kept.gradients, "weights": kept.weights}, folder / "kept.pt")


def one_of_two(rank: int, port: int, world: Path, folder: Path) -> None:
    """Every run of two processes, in one of them."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tests"}
    os.environ |= {name: str(value) for name, value in (place | launcher).items()}
    for kind in STRATEGIES:
        for method in METHODS:
            train(world, folder / f"{kind}-{method}", method, kind, 2)
        train(world, folder / f"{kind}-from-one", "RMU", kind, 2, folder / "one-RMU" / f"step={HALF}.ckpt")


@pytest.fixture(scope="module")
def runs(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for method in METHODS:
        train(world, folder / f"one-{method}", method, "auto", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(one_of_two, (port, world, folder), nprocs=2)  # type: ignore[no-untyped-call, attr-defined]
    for kind in STRATEGIES:
        train(world, folder / f"one-from-{kind}", "RMU", "auto", 1, folder / f"{kind}-RMU" / f"step={HALF}.ckpt")
    return folder


def assert_same(one: Path, other: Path) -> None:
    """To 1e-9 what was computed, exactly what was answered."""
    kept, expected = (torch.load(folder / "kept.pt") for folder in (one, other))
    assert len(expected["losses"]) >= HALF
    torch.testing.assert_close(kept["losses"], expected["losses"][-len(kept["losses"]) :], rtol=1e-9, atol=1e-9)
    for part in ("gradients", "weights"):
        assert kept[part].keys() == expected[part].keys() != set()
        for name, value in kept[part].items():
            torch.testing.assert_close(value, expected[part][name], rtol=1e-9, atol=1e-9)
    answers, same = (json.loads((folder / "results.json").read_text())["evaluations"] for folder in (one, other))
    assert answers == same


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", STRATEGIES)
def test_two_processes_train_and_answer_as_one(runs: Path, kind: str, method: str) -> None:
    assert_same(runs / f"{kind}-{method}", runs / f"one-{method}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*(f"{kind}-from-one" for kind in STRATEGIES), *(f"one-from-{kind}" for kind in STRATEGIES)]
)
def test_a_run_goes_on_in_another_number_of_processes(runs: Path, name: str) -> None:
    assert_same(runs / name, runs / "one-RMU")
