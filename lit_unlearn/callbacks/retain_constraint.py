"""A bound on the retain loss, whose multiplier is the weight of that loss."""

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.errors import InputError, check_above, check_at_least
from lit_unlearn.losses.contract import PerTopic
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown


class RetainConstraint(Shown, L.Callback):
    """Raises the weight α of the retain loss L while L is above a limit ε, and lowers it below: primal-dual training.

    After each step α becomes max(0, α + η (L - ε)), with L the mean over the rows of the step, of all processes and all
    accumulated batches: gradient ascent on the multiplier of the constraint L <= ε. It begins at `model.retain_weight`,
    is logged as `train/retain_weight`, and a resumed run continues with it. Each step waits for the device once.

    Entesari et al. 2025, "Constrained entropic unlearning: a primal-dual framework for large language models", with
    the forget loss PDU; any losses may be used. The default step size is that of the released implementation in
    open-unlearning.

    Differs from the released code: L is that of all processes, where there each has a weight of its own, and the
    weights are kept in checkpoints.

    Args:
        limit: ε, in the unit of the retain loss; a little above its value before training.
        step_size: η, above 0.
        warmup_steps: steps after which the weight begins to move.

    Raises:
        InputError: a number is out of range, the retain loss is NoLoss or has a weight for each topic, or the
            checkpoint was made without this callback or with other numbers.
    """

    def __init__(self, limit: float, *, step_size: float = 1.0, warmup_steps: int = 0) -> None:
        if not math.isfinite(limit):
            raise InputError(f"RetainConstraint.limit: must be finite, got {limit}")
        check_above("RetainConstraint.step_size", step_size, 0)
        check_at_least("RetainConstraint.warmup_steps", warmup_steps, 0)
        self.limit, self.step_size, self.warmup_steps = limit, step_size, warmup_steps
        self._multiplier: _Multiplier | None = None
        self._resumed: float | None = None
        self._step = 0
        self._rows: list[Tensor] = []

    @property
    def weight(self) -> float:
        """The weight of the retain loss at present.

        Raises:
            InputError: no training has begun.
        """
        if self._multiplier is None:
            raise InputError("RetainConstraint.weight: there is none before training; read it in or after a fit")
        return self._multiplier.current

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks that there is one weight, and takes hold of it."""
        if stage != "fit":
            return
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"RetainConstraint: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if isinstance(pl_module.retain, NoLoss):
            raise InputError("RetainConstraint: model.retain is NoLoss, which has no limit; give another, e.g. NLL")
        values = pl_module.retain_weight.values
        if isinstance(values, list):
            raise InputError(f"model.retain_weight: {values} is one for each topic; RetainConstraint moves one number")
        self._multiplier = pl_module.retain_weight = _Multiplier(values)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Continues with the weight of the checkpoint."""
        self._step, self._rows = trainer.global_step, []
        if self._multiplier is not None and self._resumed is not None:
            self._multiplier.current, self._resumed = self._resumed, None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Moves the weight, if the batch was the last of its step."""
        assert self._multiplier is not None
        self._rows.append(outputs["retain_losses"].detach())
        if trainer.global_step == self._step:  # gradients are being accumulated
            return
        self._step, rows, self._rows = trainer.global_step, torch.cat(self._rows), []
        if self._step > self.warmup_steps:
            moved = self._multiplier.current + self.step_size * (_mean(trainer, rows) - self.limit)
            self._multiplier.current = max(0.0, moved)
        pl_module.log("train/retain_weight", self._multiplier.current)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leaves the module with the weight that it was given."""
        if stage == "fit" and self._multiplier is not None and isinstance(pl_module, UnlearnModule):
            pl_module.retain_weight = PerTopic(self._multiplier.values)

    def state_dict(self) -> dict[str, Any]:
        """The weight, and the numbers with which it moves."""
        return {"weight": self.weight} | self._numbers()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the weight for the beginning of the training.

        Raises:
            InputError: it was made with other numbers.
        """
        for name, own in self._numbers().items():
            if state_dict[name] != own:
                raise InputError(
                    f"RetainConstraint.{name}: the checkpoint was made with {state_dict[name]}, this run has {own}; "
                    "resume with the same"
                )
        self._resumed = state_dict["weight"]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuses to resume from a checkpoint that has no weight."""
        if trainer.training and self.state_key not in checkpoint.get("callbacks", {}):
            raise InputError(
                "ckpt_path: made without RetainConstraint, so that its weight is not known; resume without the "
                "callback, or start a new run"
            )

    def _numbers(self) -> dict[str, float]:
        return {"limit": self.limit, "step_size": self.step_size, "warmup_steps": self.warmup_steps}


class _Multiplier(PerTopic):
    """A weight that moves; `values` stays what was given."""

    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.current = float(value)

    def forward(self, topic: Tensor) -> Tensor:
        """The current value for each row, float32 `[batch]`."""
        return torch.full_like(topic, self.current, dtype=torch.float32)


def _mean(trainer: L.Trainer, rows: Tensor) -> float:
    """The mean of the rows of all processes, the same number to the bit in each: gathered, and added in one order."""
    own = torch.stack([rows.sum(), torch.full_like(rows.sum(), len(rows))])
    gathered = trainer.strategy.all_gather(own).reshape(-1, 2).tolist()
    return math.fsum(total for total, _ in gathered) / math.fsum(count for _, count in gathered)
