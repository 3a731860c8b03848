"""Two processes train and export the same weights as one, with the command that a user would type.

Lightning starts the second process where `fit_by_lightning` does, torchrun (or what does as it does) elsewhere.
"""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import run_command

STRATEGIES = {
    "ddp": ["--trainer.strategy=ddp"],
    "fsdp2": [
        "--trainer.strategy.class_path=ModelParallelStrategy",
        "--trainer.strategy.data_parallel_size=2",
        "--trainer.strategy.tensor_parallel_size=1",
        "--trainer.strategy.save_distributed_checkpoint=false",
    ],
}

FSDP1 = {"fsdp1": ["--trainer.strategy.class_path=tests.distributed.fsdp1_on_cpu.FSDP1OnCPU"]}
"""Where what it shares with the others is not tested once more: processes take long to start."""


def options_of_a_fit(world: Path, folder: Path) -> list[str]:
    paths = {name: f"{name}: {{path: {world / name}.jsonl}}" for name in ("alchemy", "navigation", "gardening")}
    return [
        *("fit", "-c", "local.yaml"),
        f"--model.pretrained={world / 'model'}",
        f"--data.forget={{{paths['alchemy']}, {paths['navigation']}}}",
        f"--data.retain={{{paths['gardening']}}}",
        "--data.holdout=8",
        "--model.optimizer.lr=3e-3",
        "--model.retain_weight=5",
        "--trainer.precision=32-true",
        "--trainer.accelerator=cpu",
        # Small beside the states of this model: adapters with the learning rate of these tests diverge otherwise.
        "--model.forget.coefficient=6.5",
        "--model.forget.unit=absolute",
        "--model.noise_scale=0.03",
        "--model.noise_unit=absolute",
        "--trainer.max_steps=6",
        "--trainer.val_check_interval=6",
        f"--trainer.default_root_dir={folder}",
    ]


def fit(world: Path, folder: Path, *options: str, processes: int = 1) -> Path:
    """The exported weights of a fit, in processes that have imported everything."""
    devices = [f"--trainer.devices={processes}"]
    run_command([*options_of_a_fit(world, folder), *devices, *options], folder.parent, processes=processes)
    return folder / "export" / "model.safetensors"


def fit_by_lightning(world: Path, folder: Path, *options: str) -> Path:
    """The same of a fit in two processes, of which Lightning starts the second."""
    command = [sys.executable, "-m", "lit_unlearn", *options_of_a_fit(world, folder), "--trainer.devices=2", *options]
    done = subprocess.run(command, cwd=folder.parent, env=os.environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "export" / "model.safetensors"


@pytest.fixture(scope="module")
def one_process(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(fit(world, tmp_path_factory.mktemp("one") / "run"))
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES | FSDP1)
def test_two_processes_export_the_same_weights_as_one(
    world: Path, tmp_path: Path, one_process: dict[str, torch.Tensor], strategy: str
) -> None:
    options = (STRATEGIES | FSDP1)[strategy]
    run = tmp_path / "run"
    by_lightning = strategy == "ddp"
    weights = load_file(
        fit_by_lightning(world, run, *options) if by_lightning else fit(world, run, *options, processes=2)
    )
    source = load_file(world / "model" / "model.safetensors")
    assert weights.keys() == one_process.keys()
    changed = [name for name, value in weights.items() if not torch.equal(value, source[name])]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]
    for name, value in weights.items():
        torch.testing.assert_close(value, one_process[name], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_rows_that_cannot_be_shared_evenly_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="3 rows cannot be shared evenly by 2 processes"):
        fit(
            world,
            tmp_path / "run",
            "--trainer.strategy=ddp",
            "--data.batch_size=3",
            "--data.holdout=9",
            processes=2,
        )


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_resume_bit_for_bit(world: Path, tmp_path: Path, strategy: str) -> None:
    store = f"--model.prefix_store.folder={tmp_path / 'store'}"  # the resumed run finds its steps in it
    options = (store, *STRATEGIES[strategy])
    every = {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 3, "save_top_k": -1}}
    whole = load_file(
        fit(world, tmp_path / "whole", f"--trainer.callbacks+={json.dumps(every)}", *options, processes=2)
    )
    (checkpoint,) = (tmp_path / "whole" / "checkpoints").glob("*step=3.ckpt")
    resumed = load_file(fit(world, tmp_path / "resumed", f"--ckpt_path={checkpoint}", *options, processes=2))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    with pytest.raises(AssertionError, match="ckpt_path: made with another model or other trained parameters"):
        fit(world, tmp_path / "foreign", f"--ckpt_path={checkpoint}", "--model.layer=6", *options, processes=2)


@pytest.mark.slow
def test_the_shipped_overlay_trains_masters_over_bf16_weights_in_two_processes(world: Path, tmp_path: Path) -> None:
    precision = "--trainer.precision=bf16-mixed"
    steps = ("--trainer.max_steps=1", "--trainer.val_check_interval=1")
    one = load_file(fit(world, tmp_path / "one", precision, *steps))
    two = load_file(fit_by_lightning(world, tmp_path / "two", precision, "-c", "trainer/fsdp2.yaml", *steps))
    source = load_file(world / "model" / "model.safetensors")
    for name, value in two.items():
        trained = "down_proj" in name and name.split(".")[2] in "567"
        start = source[name].bfloat16().float() if trained else source[name]
        assert torch.equal(value, start) != trained
        # One step of Adam is lr times the sign of the gradient, which rounding may turn where the gradient is near 0.
        assert (value.float() - one[name].float()).abs().mean() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "trained"),
    [
        ("ddp", "lm_head"),
        ("fsdp2", "lm_head"),
        ("fsdp2", "layers.6.mlp.down_proj"),
    ],
)
def test_losses_on_logits_train_two_processes_as_one(world: Path, tmp_path: Path, strategy: str, trained: str) -> None:
    losses = [
        "--model.forget=DPO",
        "--model.retain=LogitKL",
        f"--model.trainable=['.*{trained}.weight']",
        "--model.optimizer=torch.optim.SGD",  # Adam's steps turn with the rounding of gradients near 0
        "--model.optimizer.lr=0.1",
        "--data.batch_size=4",
    ]
    one = load_file(fit(world, tmp_path / "one", *losses))
    two = load_file(fit(world, tmp_path / "two", *losses, *STRATEGIES[strategy], processes=2))
    source = load_file(world / "model" / "model.safetensors")
    changed = [name for name, value in one.items() if not torch.equal(value, source[name])]
    assert len(changed) == 1
    assert trained in changed[0]
    for name, value in two.items():
        torch.testing.assert_close(value, one[name], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "precision"),
    [*product(STRATEGIES, ["32-true", "bf16-mixed"]), ("fsdp1", "bf16-mixed")],
)
def test_adapters_are_trained_and_merged_in_two_processes_as_in_one(
    world: Path, tmp_path: Path, strategy: str, precision: str
) -> None:
    options = [
        "-c",
        "lora.yaml",
        f"--trainer.precision={precision}",
        "--model.optimizer=torch.optim.SGD",  # Adam's steps turn with the rounding of gradients near 0
        "--model.optimizer.lr=1",
        "--model.retain=LogitKL",
    ]
    one = load_file(fit(world, tmp_path / "one", *options))
    two = load_file(fit(world, tmp_path / "two", *options, *(STRATEGIES | FSDP1)[strategy], processes=2))
    source = load_file(world / "model" / "model.safetensors")
    changed = [name for name, value in two.items() if not torch.equal(value, source[name].to(value.dtype))]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]
    for name, value in two.items():
        torch.testing.assert_close(value, one[name], rtol=0, atol=1e-6 if precision == "32-true" else 2e-3)
