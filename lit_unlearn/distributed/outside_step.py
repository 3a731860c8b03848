"""Forwards outside a training, validation or test step."""

from collections.abc import Callable
from typing import TypeVar, cast

import lightning as L
from torch.distributed.fsdp import FullyShardedDataParallel

_Result = TypeVar("_Result")


def outside_step(trainer: L.Trainer, run: Callable[[], _Result]) -> _Result:
    """Runs forwards as Lightning runs a step: in the Trainer's precision, and under FSDP1 with all that is to gather.

    Where the model is sharded every process must call it.

    Args:
        trainer: whose strategy is set up.
        run: what runs the module's model and returns what comes out.
    """
    root = trainer.strategy.model
    with trainer.precision_plugin.forward_context():
        # Weights that are in no smaller unit are gathered only in the root's own forward.
        return cast(_Result, root(run)) if isinstance(root, FullyShardedDataParallel) else run()
