"""Two processes keep gradients apart as one does, under DDP and FSDP2, over accumulated batches."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import DoublePrecision
from torch.optim import SGD

from lit_unlearn import FSDP1, NLL, GradientAscent, InputError
from lit_unlearn.modules.gradients import check_kept_apart
from tests.processes import free_port, run_in_several
from tests.test_world_size import ONE, Kept, Place, join
from tests.training import demo_data, demo_module, quiet_trainer

STRATEGIES = ("ddp", "fsdp2")
RULES = ("pcgrad", "project_forget")


def train(world: Path, folder: Path, rule: Any, place: Place = ONE) -> None:
    """Trains on streams whose gradients conflict; every process calls it."""
    kept = Kept()
    trainer = quiet_trainer(
        folder,
        max_steps=2,
        accumulate_grad_batches=2,
        gradient_clip_val=None if place.kind == "fsdp2" else 1e3,
        callbacks=[kept],
        plugins=[DoublePrecision()],
        devices=place.processes,
        strategy=place.strategy(),
    )
    options: dict[str, Any] = {"forget": GradientAscent(), "retain": NLL(), "noise_scale": 0.0, "retain_weight": 2.0}
    module = demo_module(
        world, gradients=rule, optimizer=lambda parameters: SGD(parameters, lr=1e-3), seed=0, **options
    )
    trainer.fit(module, demo_data(world, seed=0))
    if trainer.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        cosine = float(trainer.callback_metrics["train/gradient_cosine"])
        torch.save({"gradients": kept.gradients, "weights": kept.weights, "cosine": cosine}, folder / "kept.pt")


def one_of_two(rank: int, port: str, world: Path, folder: Path) -> None:
    join(rank, 2, port)
    for kind in STRATEGIES:
        for rule in RULES:
            train(world, folder / f"{kind}-{rule}", rule, Place(kind, "cpu", 2))


@pytest.mark.slow
def test_two_processes_combine_gradients_as_one(world: Path, tmp_path: Path) -> None:
    run_in_several(one_of_two, (free_port(), world, tmp_path), 2)
    near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-12)
    for rule in RULES:
        train(world, tmp_path / rule, rule)
        expected = torch.load(tmp_path / rule / "kept.pt")
        assert expected["cosine"] < 0
        for kind in STRATEGIES:
            found = torch.load(tmp_path / f"{kind}-{rule}" / "kept.pt")
            assert found["cosine"] == pytest.approx(expected["cosine"], rel=1e-6)
            for part in ("gradients", "weights"):
                assert found[part].keys() == expected[part].keys() != set()
                for name, value in expected[part].items():
                    near(found[part][name], value)


def test_fsdp1_is_refused_with_the_remedy() -> None:
    strategy = object.__new__(FSDP1)
    with pytest.raises(InputError, match=r"two backward passes .* FSDP1 does not allow; take trainer/fsdp2.yaml"):
        check_kept_apart("pcgrad", strategy, "32-true")
