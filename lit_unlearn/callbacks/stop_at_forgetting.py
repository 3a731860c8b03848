"""Stop a training when enough is forgotten, so that runs of other seeds, repairs and methods forget as much."""

from typing import Any, ClassVar

import lightning as L
from lightning.fabric.utilities import rank_zero_info, rank_zero_warn

from lit_unlearn.errors import InputError, check_above, check_at_least
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.held_out import held_out_pairs, mean_nll
from lit_unlearn.modules.protocols import HasHoldout, datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown


class StopAtForgetting(Shown, L.Callback):
    """Ends training when held-out forget rows have become less likely by a given number of nats per token.

    How much a number of steps forgets differs by several nats between seeds. It is measured between steps, without
    noise, and is logged as `train/forget_nll_rise`; the Trainer validates when it stops, and `trainer.max_steps` still
    ends what does not get so far. A run that resumes from where it was stopped takes no further step.

    Args:
        rise: in nats per token.
        every: steps from one measurement to the next.
        rows: held-out forget rows that are measured, or as many more as make whole batches of every topic.

    Raises:
        InputError: a number cannot be, or no rows are held out.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(self, rise: float, *, every: int = 10, rows: int = 16) -> None:
        check_above("StopAtForgetting.rise", rise, 0, unit="nats")
        check_at_least("StopAtForgetting.every", every, 1)
        check_at_least("StopAtForgetting.rows", rows, 1)
        self.rise, self.every, self.rows = rise, every, rows
        self.before = self.after = 0.0
        """Nats per token of the rows, before training and when it was last measured."""
        self.measured = -1
        """The step after which it was last measured."""
        self._batches: list[Batch] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks that there is something to measure."""
        if stage == "fit":
            self.before = self.after = 0.0  # of an earlier fit
            self.check_options(trainer, pl_module, datamodule_of(trainer))

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """The same, before data is read.

        Raises:
            InputError: there is not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"StopAtForgetting: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if not (isinstance(data, HasHoldout) and data.holdout):
            raise InputError("StopAtForgetting: no rows are held out; set data.holdout, e.g. to 0.1")

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ends a run that resumes where it had come so far, as `max_steps` does."""
        if self.after - self.before >= self.rise:
            trainer.should_stop = True
            rank_zero_info(f"Stopped before the resume: {self._told()}; raise StopAtForgetting.rise to go on")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures the model before training, also where a run resumes: the frozen one."""
        assert isinstance(pl_module, UnlearnModule)
        self._batches = [pair["forget"] for pair in held_out_pairs(pl_module, self.rows)]
        with pl_module.frozen.running():
            self.before = mean_nll(pl_module, self._batches)
        self._measure(pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: object) -> None:
        """Measures, and stops the Trainer."""
        assert isinstance(pl_module, UnlearnModule)
        if trainer.global_step % self.every or trainer.global_step == self.measured:
            return
        self._measure(pl_module)
        pl_module.log("train/forget_nll_rise", self.after - self.before)
        if self.after - self.before >= self.rise:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says whether it came so far."""
        assert isinstance(pl_module, UnlearnModule)
        if trainer.global_step != self.measured:
            self._measure(pl_module)
        if self.after - self.before >= self.rise:
            rank_zero_info(f"Stopped after step {trainer.global_step}: {self._told()}")
        else:
            rank_zero_warn(f"{self._told()} when training ended; raise trainer.max_steps, or run `lit-unlearn scale`")

    def state_dict(self) -> dict[str, Any]:
        """What was last measured."""
        return {"before": self.before, "after": self.after}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what the interrupted run had measured."""
        self.before, self.after = state_dict["before"], state_dict["after"]

    def _told(self) -> str:
        return f"held-out forget rows lost {self.after - self.before:.2f} of {self.rise:g} nats per token"

    def _measure(self, module: UnlearnModule) -> None:
        self.measured, self.after = module.global_step, mean_nll(module, self._batches)
