"""How likely a model finds rows that are held out, measured while it is trained."""

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.protocols import HasTopics

if TYPE_CHECKING:  # which imports what imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule


def held_out_pairs(module: "UnlearnModule", rows: int | None = None) -> list[dict[str, Batch]]:
    """The held-out pairs of batches of the Trainer's DataModule, on the module's device, this process's share of them.

    Args:
        module: in a Trainer whose DataModule holds rows out.
        rows: of each stream, of which whole batches are taken, and as many of each topic; None takes all.
    """
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    topics = len(data.topics) if isinstance(data, HasTopics) else 1
    count = None if rows is None else topics * -(-rows // (topics * data.batch_size))
    with isolate_rng():
        return [
            module.transfer_batch_to_device(pair, module.device, 0) for pair in islice(data.val_dataloader()[0], count)
        ]


@torch.no_grad()
def row_nlls(module: "UnlearnModule", batches: list[Batch]) -> Tensor:
    """Negative log-likelihood of rows, float64 `[rows]`, in nats per token; of this process's, each of which calls it.

    Args:
        module: in a Trainer, its whole model loaded. The frozen model's is found within `module.frozen.running()`.
        batches: this process's, at least one.
    """
    return torch.cat([outside_step(module.trainer, partial(module.nll, batch)) for batch in batches]).double()


def mean_nll(module: "UnlearnModule", batches: list[Batch]) -> float:
    """The mean of `row_nlls` over the rows of all processes, each of which calls it."""
    found = row_nlls(module, batches)
    total, count = module.total(torch.stack([found.sum(), torch.ones_like(found).sum()])).tolist()
    return float(total / count)
