"""Whether a run has unlearned anything, and what it has done to what should stay: the model before and after it."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import lightning as L
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss
from lit_unlearn.losses.distillation import Distillation
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.losses.relearning import Relearning
from lit_unlearn.losses.retain import RepresentationMSE
from lit_unlearn.models.first_layers import is_partial
from lit_unlearn.modules.held_out import held_out_pairs
from lit_unlearn.modules.protocols import HasHoldout, datamodule_of
from lit_unlearn.running.pair import run_pair

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule

BATCHES = 8
"""Steps whose rows are looked at where none are held out, those that would come next."""
_MOVED = 0.05
"""Norms by which states, or nats by which a likelihood, have to change before anything counts as unlearned."""
NOTHING = "nothing was unlearned: the forget rows are to the model what they were"
DAMAGED = 1.0
"""Nats per token that a row has to lose to count as damaged: of a retain stream such a row may be a stray."""
_NAMES = ("rows", "displacement", "nll_before", "nll_after", "damaged", "others_rise")


class Change(NamedTuple):
    """What a run did to the rows of one stream: means over rows."""

    displacement: float
    """‖h_updated - h_frozen‖ over ‖h_frozen‖ after the steering layer, each a mean over tokens without the first."""
    nll_before: float | None
    """Nats per token; None where only the first layers are loaded."""
    nll_after: float | None
    rows: int = 0
    damaged: int = 0
    """Rows whose NLL rose by more than `DAMAGED`."""
    others_rise: float | None = None
    """Of the NLL of all other rows; None where there are none."""

    @property
    def told_damaged(self) -> str:
        """How many rows are damaged, and what the others lost.

        Example:
            >>> Change(0.1, 4.17, 4.34, rows=64, damaged=2, others_rise=0.005).told_damaged
            '2 of 64 rows lost more than 1 nat, the others +0.005'
        """
        others = "" if self.others_rise is None else f", the others {self.others_rise:+.3f}"
        return f"{self.damaged} of {self.rows} rows lost more than {DAMAGED:g} nat{others}"


class Forgotten(NamedTuple):
    """What a run did to both streams."""

    rows: str
    """`held-out rows` or `trained rows`."""
    forget: Change
    retain: Change

    @property
    def nothing(self) -> bool:
        """Whether the forget rows are to the model what they were: neither their states nor their likelihood moved."""
        before, after = self.forget.nll_before, self.forget.nll_after
        less_likely = before is not None and after is not None and after - before >= _MOVED
        return self.forget.displacement < _MOVED and not less_likely

    def __str__(self) -> str:
        """On one line."""
        parts = [
            f"{stream} states moved by {change.displacement:.2f} norms"
            + ("" if change.nll_before is None else f", NLL {change.nll_before:.3f} → {change.nll_after:.3f}")
            for stream, change in (("forget", self.forget), ("retain", self.retain))
        ]
        damaged = f" ({self.retain.told_damaged})" if self.retain.damaged else ""
        return f"{self.rows}: {'; '.join(parts)}{damaged}"


class BeforeAndAfter(NamedTuple):
    """What both models made of a batch."""

    updated: Tensor
    """`[batch, seq, dim]`, hidden states after the steering layer."""
    frozen: Tensor
    nll_before: Tensor | None
    """`[batch]`, nats per token; None where only the first layers are loaded."""
    nll_after: Tensor | None


def unlearns(loss: Loss) -> bool:
    """Whether a forget loss is to make the model forget: one that is left out, undoes or keeps it is not."""
    return not isinstance(loss, NoLoss | Relearning | Distillation)


def forgotten(module: "UnlearnModule") -> Forgotten | None:
    """What training has done to held-out rows, or without any to some trained ones; None without a DataModule.

    Args:
        module: in a Trainer, all processes of which must call it.
    """
    looked = _looked_at(module)
    if looked is None:
        return None
    rows, pairs = looked
    found = [
        change((pair[stream] for pair in pairs), partial(_before_and_after, module), module.total)
        for stream in ("forget", "retain")
    ]
    return Forgotten(rows, *found)


def _looked_at(module: "UnlearnModule") -> tuple[str, list[dict[str, Batch]]] | None:
    """The held-out pairs of batches, or without any those of the first steps; None without a DataModule."""
    data = datamodule_of(module.trainer)
    if not isinstance(data, L.LightningDataModule):
        return None
    held_out = isinstance(data, HasHoldout) and data.holdout > 0
    if held_out:
        return "held-out rows", held_out_pairs(module)
    with isolate_rng():
        pairs = islice(data.train_dataloader(), BATCHES)
        return "trained rows", [module.transfer_batch_to_device(pair, module.device, 0) for pair in pairs]


def _before_and_after(module: "UnlearnModule", batch: Batch) -> BeforeAndAfter:
    def run() -> BeforeAndAfter:
        reader = RepresentationMSE()  # which reads the states of both
        updated, frozen = run_pair(
            module.updated, module.frozen, module.layers, batch, layer=module.layer, reader=reader
        )
        assert frozen is not None
        updated, frozen = module.in_state_units(updated), module.in_state_units(frozen)
        if is_partial(module.updated):
            return BeforeAndAfter(updated.hidden, frozen.hidden, None, None)
        with module.frozen.running():
            before = module.nll(batch)
        return BeforeAndAfter(updated.hidden, frozen.hidden, before, module.nll(batch))

    return outside_step(module.trainer, run)


@torch.no_grad()
def change(
    batches: Iterable[Batch], both: Callable[[Batch], BeforeAndAfter], total: Callable[[Tensor], Tensor]
) -> Change:
    """What a run did to some rows, over all processes.

    Args:
        batches: this process's.
        both: runs both models on a batch.
        total: sums a tensor over processes.
    """
    sums, likely = torch.zeros(len(_NAMES), dtype=torch.float64), True
    for batch in batches:
        found = both(batch)
        mask = functional.without_first(batch["loss_mask"], batch["attention_mask"])
        moved = functional.mean_norm(functional.precise(found.updated) - functional.precise(found.frozen), mask)
        share = moved / functional.mean_norm(found.frozen, mask).clamp(min=torch.finfo(moved.dtype).tiny)
        likely = found.nll_before is not None
        nll = [torch.zeros_like(share) if one is None else one for one in (found.nll_before, found.nll_after)]
        rise = nll[1] - nll[0]
        damaged = rise > DAMAGED
        values = [torch.ones_like(share), share, *nll, damaged, torch.where(damaged, 0, rise)]
        own = torch.stack([one.double() for one in values]).sum(dim=1)
        sums = sums.to(own.device) + own
    rows, displacement, before, after, harmed, others = total(sums).tolist()
    if not likely:
        return Change(displacement / rows, None, None, round(rows))
    rise_of_others = others / (rows - harmed) if rows > harmed else None
    return Change(displacement / rows, before / rows, after / rows, round(rows), round(harmed), rise_of_others)
