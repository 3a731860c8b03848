"""Nothing grows with the number of steps, and nothing is left behind by a step that fails."""

import resource
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from lit_unlearn import LastCheckpoint
from lit_unlearn.losses.contract import Batch
from lit_unlearn.runs.metrics_csv import MetricsCSV
from tests.modules.test_divergence_guard import Breaks
from tests.training import demo_data, demo_module, quiet_trainer

PAGE = resource.getpagesize()


class Memory(L.Callback):
    """Resident bytes after some steps."""

    def __init__(self, *steps: int) -> None:
        self.steps, self.resident = steps, dict[int, int]()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step in self.steps:
            self.resident[trainer.global_step] = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_flat_over_two_thousand_steps(world: Path, tmp_path: Path) -> None:
    memory = Memory(500, 2000)
    trainer = quiet_trainer(
        tmp_path,
        max_steps=2000,
        logger=MetricsCSV(tmp_path),
        log_every_n_steps=10,
        enable_checkpointing=True,
        callbacks=[memory, LastCheckpoint()],
    )
    trainer.fit(demo_module(world, layer=1), demo_data(world, batch_size=1))
    grown = memory.resident[2000] - memory.resident[500]
    print(f"{grown / 2**20:.2f} MiB more after step 2000 than after step 500")
    assert grown < 4 * 2**20


class Fails(Breaks):
    """A forget loss with a mistake, once."""

    def forward(self, updated: Any, frozen: Any, batch: Batch) -> Any:
        self.seen += 1
        if self.seen == self.step:
            raise RuntimeError("a mistake in a loss")
        return self.own(updated, frozen, batch)


def test_hooks_are_gone_after_an_exception(world: Path, tmp_path: Path) -> None:
    module = demo_module(world, forget=Fails(2), attention_dropout=0.1)
    with pytest.raises(RuntimeError, match="a mistake in a loss"):
        quiet_trainer(tmp_path).fit(module, demo_data(world))
    kept = [
        (name, hooks)
        for name, part in module.updated.named_modules()
        for hooks in (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks)
        if hooks
    ]
    assert kept == []
