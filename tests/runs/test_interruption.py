"""When a signal is heard, and by whom; `test_killed.py` and `test_launch.py` have whole runs."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn.runs.interruption import Interruption


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("INTERRUPT", "1")
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class Other:
    """Another process: what it tells, while a signal reaches this one."""

    def __init__(self, told: int, *, arrives: bool) -> None:
        self.told, self.arrives, self.root_device = told, arrives, torch.device("cpu")

    def reduce(self, own: Tensor, reduce_op: str) -> Tensor:
        if self.arrives:
            os.kill(os.getpid(), signal.SIGTERM)
        return torch.tensor(max(int(own), self.told))


def trainer(told: int = 0, *, arrives: bool = False) -> Any:
    return SimpleNamespace(
        world_size=2, strategy=Other(told, arrives=arrives), training=True, should_stop=False, global_step=1,
        max_steps=9, max_epochs=-1, fit_loop=quiet_fit_loop(),
    )  # fmt: skip


def quiet_fit_loop() -> Any:
    return SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(is_last_batch=False)))


def test_what_arrives_while_processes_tell_each_other_is_told_the_next_time() -> None:
    interruption = Interruption()
    interruption.take_over(trainer())
    interruption.watch(keyboard=False)
    assert not interruption.agreed(trainer(arrives=True))
    assert not interruption.urgent  # no other process knows of it
    assert interruption.agreed(trainer())
    assert interruption.urgent


def test_what_has_reached_another_process_ends_this_one() -> None:
    interruption = Interruption()
    interruption.take_over(trainer())
    assert interruption.agreed(trainer(told=signal.SIGTERM))
    assert interruption.agreed(trainer())
