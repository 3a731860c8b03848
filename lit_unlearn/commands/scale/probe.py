"""Short trainings with some settings, looked at as they run."""

import time
import warnings
from typing import Any, NamedTuple

import lightning as L
import torch

from lit_unlearn.callbacks import StopAtForgetting
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.scale.watch import Hopeless, Likelihood, Retained, Watch
from lit_unlearn.errors import Diverged
from lit_unlearn.modules.divergence_guard import DivergenceGuard

_OF_A_STEP = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")
"""The Trainer's options that decide what a step does to the weights."""


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
    retain: Retained | None
    seconds: float
    moved: float
    """Sum of the learning rates: AdamW moves no weight by more."""

    @property
    def diverged(self) -> bool:
        """Whether a loss became infinite or no number."""
        return not bool(torch.tensor(self.forget_loss + self.retain_loss).isfinite().all())


class ProbeCLI(ConfigCLI):
    """The model and the data of a config, whose Trainer takes the steps that `fit` would take."""

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """A Trainer that accumulates and clips gradients as the config has it."""
        options = self.config["fit"].trainer
        self._trainer_options |= {name: options[name] for name in _OF_A_STEP}
        return super().instantiate_trainer(**kwargs)


def run(words: Words, steps: int, watch: Watch, *, rise: float | None = None) -> Probe:
    """Trains for some steps and looks.

    Args:
        words: options of `fit`, the settings among them.
        steps: at most.
        watch: new.
        rise: nats per token by which held-out forget rows become less likely before it ends; None never ends it.

    Raises:
        InputError: an option, the model or the data cannot be used.
    """
    began = time.perf_counter()
    stop = None if rise is None else StopAtForgetting(rise)
    config = ProbeCLI(
        words,
        max_steps=steps,
        callbacks=[*([stop, Hopeless(stop, steps)] if stop else []), watch, DivergenceGuard(tells=False)],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=0,
    )
    module = config.model
    with warnings.catch_warnings():
        # How far each training came is in its line, and `scale` is what the warning would name.
        warnings.filterwarnings("ignore", message="held-out forget rows lost")
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
