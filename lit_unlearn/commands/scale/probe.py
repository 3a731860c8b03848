"""Short trainings with some settings, looked at as they run."""

import time
from typing import Any, NamedTuple

import lightning as L
import torch

from lit_unlearn.callbacks import StopAtForgetting
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import Diverged
from lit_unlearn.modules.divergence_guard import DivergenceGuard
from lit_unlearn.modules.held_out import held_out_pairs, mean_nll
from lit_unlearn.modules.unlearn import UnlearnModule

ROWS = 32
"""Retain rows whose likelihood is measured; that of forget rows is measured by `StopAtForgetting`, on its own."""

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
        measures: whether the likelihood of retain rows is measured at the end.
        before: that before training, where an earlier one has measured it.
    """

    def __init__(
        self,
        *,
        growth: float = 1.0,
        stop_at: float | None = None,
        measures: bool = True,
        before: float | None = None,
    ) -> None:
        self.growth, self.stop_at, self.measures, self.before = growth, stop_at, measures, before
        self.forget_loss: list[float] = []
        self.retain_loss: list[float] = []
        self.retain: Likelihood | None = None
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
        """Measures the likelihood of retain rows."""
        if self.measures:
            assert isinstance(pl_module, UnlearnModule)
            rows = [pair["retain"] for pair in held_out_pairs(pl_module, ROWS)]
            if self.before is None:
                with pl_module.frozen.running():
                    self.before = mean_nll(pl_module, rows)
            self.retain = Likelihood(self.before, mean_nll(pl_module, rows))


class Hopeless(L.Callback):
    """Ends a training that has hardly begun to forget when half of its steps are over.

    Args:
        stop: measures what is forgotten, before this callback.
        steps: of the training.
    """

    def __init__(self, stop: StopAtForgetting, steps: int) -> None:
        self.stop, self.half = stop, steps // 2

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Looks once half of the steps are over."""
        if trainer.global_step >= self.half and self.stop.after - self.stop.before < HOPELESS * self.stop.rise:
            trainer.should_stop = True


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
    stop = None if rise is None else StopAtForgetting(rise)
    config = ConfigCLI(
        words,
        max_steps=steps,
        callbacks=[*([stop, Hopeless(stop, steps)] if stop else []), watch, DivergenceGuard(tells=False)],
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
        Likelihood(stop.before, stop.after) if stop and watch.retain else None,
        watch.retain,
        time.perf_counter() - began,
        watch.moved,
    )


def told(probe: Probe) -> str:
    """A training in a line."""
    found = "diverged"
    if probe.forget is not None and probe.retain is not None:
        found = f"forget {probe.forget.rise:+.2f}, retain {probe.retain.rise:+.3f} nats per token"
    settings = f"lr {probe.learning_rate:.2g}, retain weight {probe.retain_weight:g}"
    return f"{settings}: {found} after {len(probe.forget_loss)} steps, {probe.seconds:.0f} s"
