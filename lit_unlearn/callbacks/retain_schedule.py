"""A retain loss that counts more and more, as circuit breakers are trained."""

from typing import Any

import lightning as L
from torch import Tensor

from lit_unlearn.callbacks.retain_constraint import RetainConstraint
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.losses.contract import PerTopic
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown


class RetainSchedule(Shown, L.Callback):
    """Raises the weight of the retain loss from 0 to `model.retain_weight`: at step t of T that times t / (2T - t).

    Zou et al. 2024, "Improving alignment and robustness with circuit breakers": their coefficients α (1 - t / 2T) of
    the forget and α t / 2T of the retain loss have this ratio with `model.retain_weight: 1`. After step T the weight
    stays. One weight for all topics is logged as `train/retain_weight`; it is a function of the step alone, so that a
    resumed run continues with it.

    Differs from the authors' method: the sum of both coefficients is not held at α; AdamW divides by the gradient's
    size.

    Args:
        steps: T; None is `trainer.max_steps`.

    Raises:
        InputError: the number is below 1 or not known, the retain loss is NoLoss, or RetainConstraint moves the weight
            too.
    """

    def __init__(self, steps: int | None = None) -> None:
        check_at_least("RetainSchedule.steps", steps, 1)
        self.steps = steps
        self._weight: _Rising | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks that there is a weight to move, and takes hold of it."""
        if stage != "fit":
            return
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(f"RetainSchedule: {type(pl_module).__name__} is not an UnlearnModule; remove the callback")
        if isinstance(pl_module.retain, NoLoss):
            raise InputError("RetainSchedule: model.retain is NoLoss, which has no weight; give another, or remove it")
        if any(isinstance(one, RetainConstraint) for one in trainer.callbacks):  # type: ignore[attr-defined]
            raise InputError("RetainSchedule: RetainConstraint moves the retain weight too; remove one of the two")
        steps = trainer.max_steps if self.steps is None else self.steps
        if steps < 1:
            raise InputError("RetainSchedule.steps: trainer.max_steps does not say when training ends; give a number")
        self._weight = pl_module.retain_weight = _Rising(pl_module.retain_weight.values, steps)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Sets the weight of the step."""
        assert self._weight is not None
        self._weight.step = trainer.global_step
        if not isinstance(self._weight.values, list):
            pl_module.log("train/retain_weight", self._weight.share * self._weight.values)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leaves the module with the weight that it was given."""
        if stage == "fit" and self._weight is not None and isinstance(pl_module, UnlearnModule):
            pl_module.retain_weight = PerTopic(self._weight.values)


class _Rising(PerTopic):
    """A weight, or one for each topic, that rises with the step; `values` stays what was given."""

    def __init__(self, values: float | list[float], steps: int) -> None:
        super().__init__(values)
        self.step, self.steps = 0, steps

    @property
    def share(self) -> float:
        """Of the weight, at present."""
        step = min(self.step, self.steps)
        return step / (2 * self.steps - step)

    def forward(self, topic: Tensor) -> Tensor:
        """The current weight of each row, float32 `[batch]`."""
        return self.share * super().forward(topic)
