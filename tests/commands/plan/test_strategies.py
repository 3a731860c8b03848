"""What each device takes: the arithmetic of sharing."""

import pytest

from lit_unlearn.commands.plan.config import DDP, FSDP2, ONE
from lit_unlearn.commands.plan.ledger import COPIES, GRADIENTS, KEPT, OPTIMIZER, PASSING, TRAINED, WEIGHTS
from lit_unlearn.commands.plan.machines import GPUS, UTILISATION
from lit_unlearn.commands.plan.step import ModelBytes, Step, StepRows
from lit_unlearn.commands.plan.strategies import Growth, layout, layouts

PARTS = {WEIGHTS: 1000, TRAINED: 80, COPIES: 40, GRADIENTS: 80, OPTIMIZER: 160, KEPT: 400, PASSING: 40}
STEP = Step(StepRows(4, 8, 8), PARTS, 500, 1, 1)
GROWTH = Growth(STEP, Step(StepRows(1, 8, 8), PARTS | {KEPT: 175, PASSING: 10}, 500, 1, 1))
MODEL = ModelBytes(exported=1040, trained=80, optimizer=160, unit=30, whole=100)


def test_one_device_takes_all() -> None:
    one = layout(ONE, 1, MODEL, GROWTH, 4)
    assert (one.parts, one.total, one.binds) == (PARTS, 1800, WEIGHTS)


def test_ddp_shares_what_grows_with_rows_and_adds_buckets() -> None:
    shared = layout(DDP, 2, MODEL, GROWTH, 4)
    assert shared.parts == PARTS | {KEPT: 250, PASSING: 20, "DDP's buckets": 80}
    assert shared.name == "DDP × 2"


def test_fsdp2_shares_all_but_whole_modules_and_those_that_run() -> None:
    shared = layout(FSDP2, 4, MODEL, GROWTH, 4)
    expected = {WEIGHTS: 225, TRAINED: 20, COPIES: 10, GRADIENTS: 20, OPTIMIZER: 40, KEPT: 175, PASSING: 10}
    assert shared.parts == expected | {"gathered modules": 160}


def test_copies_share_rows_and_not_weights() -> None:
    whole, copies = (layout(FSDP2, 4, MODEL, GROWTH, 4, replicas=replicas) for replicas in (1, 2))
    half = {WEIGHTS: 450, TRAINED: 40, COPIES: 20, GRADIENTS: 40, OPTIMIZER: 80}
    assert copies.parts == whole.parts | half
    assert (whole.name, copies.name) == ("FSDP2 × 4", "HSDP 2 × 2")


def test_only_numbers_that_share_the_batch_evenly() -> None:
    assert [one.name for one in layouts(MODEL, GROWTH, 4)] == [
        "one device", "DDP × 2", "DDP × 4", "FSDP2 × 2", "FSDP2 × 4",
    ]  # fmt: skip
    assert [one.name for one in layouts(MODEL, GROWTH, 3)] == ["one device"]


def test_time_is_that_of_the_precision() -> None:
    a100 = next(gpu for gpu in GPUS if gpu.name == "A100 80GB")
    assert a100.seconds(312e12 * UTILISATION, "bf16-mixed") == pytest.approx(1)
    assert a100.seconds(312e12 * UTILISATION, "32-true") == pytest.approx(16)
    assert a100.seconds(1e12, "64-true") is None
