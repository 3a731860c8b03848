"""Short trainings with some settings, looked at as they run."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from lit_unlearn.callbacks import StopAtForgetting
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import Diverged
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.divergence_guard import DivergenceGuard
from lit_unlearn.modules.unlearn import UnlearnModule

ROWS = 32
"""Rows of each stream whose likelihood is measured."""


class Likelihood(NamedTuple):
    """Mean negative log-likelihood of rows, nats per token, before and after a training."""

    before: float
    after: float

    @property
    def rise(self) -> float:
        """In nats per token."""
        return self.after - self.before


class Probe(NamedTuple):
    """A short training."""

    learning_rate: float
    """The largest, where it grows."""
    retain_weight: float
    """Of the first topic, where each has its own."""
    forget_loss: list[float]
    """Of each step, a mean over rows."""
    retain_loss: list[float]
    forget: Likelihood | None
    """Of rows that were not trained on; None where that was not measured, or the training diverged."""
    retain: Likelihood | None
    seconds: float
    moved: float
    """Sum of the learning rates: AdamW moves no weight by more."""

    @property
    def diverged(self) -> bool:
        """Whether a loss became infinite or no number."""
        return not bool(torch.tensor(self.forget_loss + self.retain_loss).isfinite().all())


class Watch(L.Callback):
    """Notes the losses of every step; lets the learning rate grow, or measures what the training did at its end.

    Args:
        growth: factor of the learning rate from step to step; 1 leaves it to the run.
        stop_at: share of the first forget loss by which it has to fall for the training to end; None goes on.
        measures: whether likelihoods are measured at the end.
        before: likelihoods of forget and retain rows before training, where an earlier one has measured them.
    """

    def __init__(
        self,
        *,
        growth: float = 1.0,
        stop_at: float | None = None,
        measures: bool = True,
        before: tuple[float, float] | None = None,
    ) -> None:
        self.growth, self.stop_at, self.measures, self.before = growth, stop_at, measures, before
        self.forget_loss: list[float] = []
        self.retain_loss: list[float] = []
        self.likelihoods: tuple[Likelihood | None, Likelihood | None] = (None, None)
        self.moved = self.largest = 0.0

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Sets the learning rate."""
        for group in trainer.optimizers[0].param_groups:
            if self.growth != 1.0 and self.forget_loss:
                group["lr"] *= self.growth
        self.largest = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        self.moved += self.largest

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        """Notes the losses."""
        self.forget_loss.append(float(outputs["forget_losses"].mean()))
        self.retain_loss.append(float(outputs["retain_losses"].mean()))
        if self.stop_at is not None and fallen(self.forget_loss) >= self.stop_at:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures likelihoods."""
        if self.measures:
            assert isinstance(pl_module, UnlearnModule)
            pairs = list(_pairs(trainer, pl_module))
            forget, retain = ([pair[name] for pair in pairs] for name in ("forget", "retain"))
            if self.before is None:
                with pl_module.frozen.running():
                    self.before = _mean_nll(pl_module, forget), _mean_nll(pl_module, retain)
            after = _mean_nll(pl_module, forget), _mean_nll(pl_module, retain)
            self.likelihoods = Likelihood(self.before[0], after[0]), Likelihood(self.before[1], after[1])


def fallen(losses: list[float]) -> float:
    """By which share of the first the last few of some losses have fallen; their mean, as each is of other rows.

    Example:
        >>> fallen([4.0, 4.0, 2.0, 1.0, 3.0, 2.0])
        0.5
    """
    last = losses[-4:]
    return (losses[0] - sum(last) / len(last)) / abs(losses[0]) if losses[0] else 0.0


def run(words: Words, steps: int, watch: Watch, *, rise: float | None = None) -> Probe:
    """Trains for some steps and looks.

    Args:
        words: options of `fit`, the settings among them.
        steps: at most.
        watch: new.
        rise: nats per token by which held-out forget rows become less likely before it ends; None goes on.

    Raises:
        InputError: an option, the model or the data cannot be used.
    """
    began = time.perf_counter()
    stop = [] if rise is None else [StopAtForgetting(rise)]
    config = ConfigCLI(
        words,
        max_steps=steps,
        callbacks=[*stop, watch, DivergenceGuard(tells=False)],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=0,
    )
    module = config.model
    try:
        config.trainer.fit(module, config.datamodule)
    except Diverged:
        watch.forget_loss.append(float("nan"))
    weight = module.retain_weight.values
    return Probe(
        watch.largest,
        weight[0] if isinstance(weight, list) else weight,
        watch.forget_loss,
        watch.retain_loss,
        *watch.likelihoods,
        time.perf_counter() - began,
        watch.moved,
    )


def _pairs(trainer: L.Trainer, module: UnlearnModule) -> Iterator[dict[str, Batch]]:
    """The first held-out pairs of batches."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    with isolate_rng():
        for pair in islice(data.val_dataloader()[0], -(-ROWS // data.batch_size)):
            yield module.transfer_batch_to_device(pair, module.device, 0)


@torch.no_grad()
def _mean_nll(module: UnlearnModule, batches: list[Batch]) -> float:
    rows: list[Tensor] = [outside_step(module.trainer, partial(module.nll, batch)) for batch in batches]
    return float(torch.cat(rows).mean())
