"""Signals that end a run between two steps, in all its processes at the same one."""

import os
import signal
import sys
import threading
from typing import Any, NoReturn

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_unlearn.runs import requeue

_CTRL_C = "\nInterrupted: this step is finished and a checkpoint written; again to stop at once"


def ends(trainer: L.Trainer) -> bool:
    """Whether this is the last step: what is still to do, such as an export, an interruption then repeats with it."""
    last_batch = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    last_epoch = trainer.max_epochs not in (None, -1) and trainer.current_epoch >= trainer.max_epochs - 1
    return trainer.should_stop or trainer.global_step == trainer.max_steps or (last_batch and last_epoch)


class Interruption:
    """Ctrl-C, SIGTERM and SLURM's signal before a job's time is over: what has arrived, and how the run ends.

    A handler only takes note. After each step the processes tell each other, so that all of them end after the same
    one, whichever of them the signal has reached. Lightning's own handlers, which these replace while a run trains,
    communicate wherever the signal finds a process, where others may be in the middle of something else.
    """

    def __init__(self) -> None:
        self._trainer: L.Trainer | None = None
        self._noted = 0  # a signal that has reached this process, at any time
        self._number = 0  # a signal of which all processes know
        self._requeue: int | None = None
        self._requeued = False
        self._process = 0

    def take_over(self, trainer: L.Trainer) -> None:
        """Has SLURM's signal end the run here, and not as Lightning does; before it sets its handlers."""
        self._requeue = requeue.taken_from_lightning(trainer) or self._requeue  # of an earlier fit of the same Trainer
        self._trainer, self._process, self._noted, self._number, self._requeued = trainer, os.getpid(), 0, 0, False

    def watch(self, *, keyboard: bool) -> None:
        """From here on signals wait for the end of a step; when the fit ends, Lightning makes all as they were.

        Args:
            keyboard: Ctrl-C does so too.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGTERM, self._arrived)
        if self._requeue is not None:
            signal.signal(self._requeue, self._arrived)
        if keyboard and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._arrived)

    def agreed(self, trainer: L.Trainer) -> bool:
        """Whether a signal has reached any process; all of them ask at the same place."""
        number = self._noted  # one that arrives from here on is for the next time
        if trainer.world_size > 1:
            own = torch.tensor(number, device=trainer.strategy.root_device)
            number = int(trainer.strategy.reduce(own, reduce_op="max"))
        self._number = self._number or number
        return self._number > 0

    @property
    def urgent(self) -> bool:
        """Whether who asked will not wait for the end: all but who has pressed Ctrl-C, and may do so again."""
        return self._number not in (0, signal.SIGINT)

    def leave(self, trainer: L.Trainer) -> NoReturn:
        """Ends the run, in all processes.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SIGTERMException: after SIGTERM, and after SLURM's signal when the job is queued again.
        """
        if self._number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requeue_now(trainer)
        trainer.strategy.barrier("interrupted")  # a process that ends may end the others
        raise SIGTERMException

    def requeue_now(self, trainer: L.Trainer) -> None:
        """Has the job queued again, once, if that is what the signal asks for."""
        if self._requeue in (self._noted, self._number) and trainer.is_global_zero and not self._requeued:
            self._requeued = True
            requeue.requeue()

    def _arrived(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:  # one that prepares batches has inherited the handler
            return
        self._noted = self._noted or number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print(_CTRL_C, file=sys.stderr)
        assert self._trainer is not None
        if not self._trainer.training or ends(self._trainer):
            self.requeue_now(self._trainer)  # a validation or an export may last longer than the job
