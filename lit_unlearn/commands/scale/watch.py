"""What is looked at while a short training runs, and at its end."""

from typing import Any, NamedTuple, cast

import lightning as L
from torch import Tensor

from lit_unlearn.callbacks import StopAtForgetting
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.forgotten import DAMAGED
from lit_unlearn.modules.held_out import held_out_pairs, row_nlls
from lit_unlearn.modules.unlearn import UnlearnModule

ROWS = 32
"""Retain rows whose likelihood is measured; that of forget rows is measured by `StopAtForgetting`, on its own."""
TRIMMED = 0.1
"""Share of the retain rows, those that lose most, that settings are not judged by."""
_SHOWN = 100
"""Characters of a row."""
HOPELESS = 0.1
"""Share of the rise asked for below which a training is given up when half of its steps are over."""


class Likelihood(NamedTuple):
    """Mean negative log-likelihood of rows, nats per token, before and after a training."""

    before: float
    after: float

    @property
    def rise(self) -> float:
        """In nats per token."""
        return self.after - self.before


class Stray(NamedTuple):
    """A retain row that lost much more than others do: perhaps one of what is forgotten."""

    text: str
    """Its beginning."""
    rise: float
    """Of its negative log-likelihood, nats per token."""


class Retained(NamedTuple):
    """What a training did to held-out retain rows, nats per token.

    A row of the forgotten topic in the retain stream loses what the topic loses, and would decide the mean.
    """

    before: float
    """Mean of all rows."""
    after: float
    rise: float
    """Mean without the tenth of the rows that lost most: what settings are judged by."""
    strays: list[Stray]
    """Rows that lost more than `DAMAGED`, those that lost most first."""


def retained(before: Tensor, after: Tensor, texts: list[str]) -> Retained:
    """What was lost of each row, and in the mean.

    Args:
        before: `[rows]`, nats per token.
        after: the same.
        texts: the rows.

    Example:
        >>> import torch
        >>> found = retained(torch.zeros(10), torch.tensor([0.1] * 9 + [4.0]), [*"abcdefghij"])
        >>> round(found.after, 2), round(found.rise, 2), found.strays
        (0.49, 0.1, [Stray(text='j', rise=4.0)])
    """
    order = (after - before).argsort()
    kept = order[: len(order) - round(TRIMMED * len(order))]
    rises = (after - before).tolist()
    strays = [Stray(texts[row][:_SHOWN], rises[row]) for row in order.flip(0).tolist() if rises[row] > DAMAGED]
    return Retained(float(before.mean()), float(after.mean()), float((after - before)[kept].mean()), strays)


class Watch(L.Callback):
    """Notes the losses of every step; lets the learning rate grow, or measures what the training did at its end.

    Args:
        growth: factor of the learning rate from step to step; 1 leaves it to the run.
        stop_at: share of the first forget loss by which it has to fall for the training to end; None never ends it.
        measures: whether the likelihood of retain rows is measured at the end.
        before: `[rows]`, that before training, where an earlier one has measured it.
    """

    def __init__(
        self,
        *,
        growth: float = 1.0,
        stop_at: float | None = None,
        measures: bool = True,
        before: Tensor | None = None,
    ) -> None:
        self.growth, self.stop_at, self.measures, self.before = growth, stop_at, measures, before
        self.forget_loss: list[float] = []
        self.retain_loss: list[float] = []
        self.retain: Retained | None = None
        self.moved = self.largest = 0.0
        self._begun = 0

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Sets the learning rate of a step, at the first of its batches."""
        if trainer.global_step < self._begun:
            return
        groups = trainer.optimizers[0].param_groups
        if self.growth != 1.0 and self._begun:
            for group in groups:
                group["lr"] = self.largest * self.growth  # whatever a scheduler has made of it
        rate = max(group["lr"] for group in groups)
        self.largest = max(self.largest, rate)
        self.moved += rate
        self._begun += 1

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        """Notes the losses of a step, those of its last batch where gradients are accumulated."""
        if trainer.global_step < self._begun:
            return
        self.forget_loss.append(float(outputs["forget_losses"].mean()))
        self.retain_loss.append(float(outputs["retain_losses"].mean()))
        if self.stop_at is not None and fallen(self.forget_loss) >= self.stop_at:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures the likelihood of retain rows."""
        if self.measures:
            assert isinstance(pl_module, UnlearnModule)
            rows = [pair["retain"] for pair in held_out_pairs(pl_module, ROWS)]
            if self.before is None:
                with pl_module.frozen.running():
                    self.before = row_nlls(pl_module, rows)
            self.retain = retained(self.before, row_nlls(pl_module, rows), _texts(pl_module, rows))


class Hopeless(L.Callback):
    """Ends a training that has hardly begun to forget when half of its steps are over.

    Args:
        stop: measures what is forgotten, before this callback.
        steps: of the training.
    """

    def __init__(self, stop: StopAtForgetting, steps: int) -> None:
        self.stop, self.half = stop, steps // 2

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Looks once half of the steps are over, and something has been measured since the first."""
        risen = self.stop.after - self.stop.before
        if trainer.global_step >= self.half and self.stop.measured > 0 and risen < HOPELESS * self.stop.rise:
            trainer.should_stop = True


def fallen(losses: list[float]) -> float:
    """By which share of the first the last few of some losses have fallen; their mean, as each is of other rows.

    Example:
        >>> fallen([4.0, 4.0, 2.0, 1.0, 3.0, 2.0])
        0.5
    """
    last = losses[-4:]
    return (losses[0] - sum(last) / len(last)) / abs(losses[0]) if losses[0] else 0.0


def _texts(module: UnlearnModule, batches: list[Batch]) -> list[str]:
    data = cast(UnlearnDataModule, module.trainer.datamodule)  # type: ignore[attr-defined]
    return [
        data.text(ids[mask.bool()])
        for batch in batches
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
