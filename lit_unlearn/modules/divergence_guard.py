"""Stops a run whose numbers are no longer finite, and says of a finished one that nothing was unlearned."""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import lightning as L
import torch
from lightning.fabric.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from lit_unlearn.errors import Diverged
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.modules.forgotten import NOTHING, unlearns
from lit_unlearn.runs import layout
from lit_unlearn.runs.moment import moment

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule

_STREAMS = ("forget", "retain")
_COMPARED = 10
"""Steps at the beginning and at the end whose mean losses are compared."""


class _Seen(NamedTuple):
    """Values of a step that are being copied from the device; nothing has waited for them."""

    step: int
    losses: dict[str, Tensor]
    """Losses of each row by stream, on the host."""
    rows: dict[str, Tensor]
    """Numbers of the rows by stream, on the device."""
    gradient: Tensor | None
    """The norm of the gradients, on the host."""
    arrived: Any
    """The device's event after which the values are on the host; None where they are there already."""


class DivergenceGuard(L.Callback):
    """Stops a run at a loss or a gradient that is not finite; every UnlearnModule adds it to the Trainer.

    The values of a step are copied to the host while the next step runs and are checked after it, so that no step
    waits for the device. Before a checkpoint or an export the check waits for them and includes the trained parameters,
    so that neither ever holds a value that is not finite. Under `16-mixed` gradients are left to the gradient scaler,
    which skips such steps.

    When training ends it warns if no trained parameter has changed, or if the forget loss has not fallen, unless it is
    one whose value need not (`Loss.falls`): its mean over the last 10 steps is not below that over the first 10.

    Args:
        tells: whether it prints and warns at the end; a guard that is given to the Trainer replaces the module's.

    Raises:
        Diverged: a value is not finite: the step, the stream, the rows, and the last losses that were.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self._tells = tells
        self._folder = Path()
        self._step = 0
        self._waiting: _Seen | None = None
        self._gradient: Tensor | None = None
        self._finite: dict[str, float] = {}
        self._steps = 0
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=_COMPARED)

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Notes the number of the step to which this batch belongs: with accumulation a step has several."""
        self._step = trainer.global_step + 1

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Computes the norm of the gradients."""
        if trainer.precision != "16-mixed":
            parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
            self._gradient = _norm(parameter.grad for parameter in parameters)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Checks the step before, while this one is copied."""
        before, self._waiting = self._waiting, _seen(self._step, outputs, batch, self._gradient)
        self._gradient = None
        self._look(before)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Notes the run's folder."""
        self._folder = Path(trainer.default_root_dir)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks all values: exports follow."""
        self.look_now(trainer.global_step, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says what has changed; warns if nothing was unlearned."""
        if not self._tells:
            return
        module = cast("UnlearnModule", pl_module)
        if self._last and not trainer.strategy.reduce_boolean_decision(_changed(pl_module), all=False):
            rank_zero_warn(
                "nothing was unlearned: no trained parameter has changed; raise model.optimizer.lr, or the "
                "precision (trainer.precision)"
            )
        elif unlearns(module.forget) and (found := module.forgotten()) is not None:
            rank_zero_info(f"{moment(trainer)}, {found}")
            if found.nothing:
                rank_zero_warn(f"{NOTHING}; raise model.optimizer.lr or trainer.max_steps")
        if self._steps < 2 * _COMPARED or isinstance(module.forget, NoLoss) or not module.forget.falls:
            return
        means = torch.tensor([fmean(self._first), fmean(self._last)], device=pl_module.device)
        first, last = trainer.strategy.reduce(means, reduce_op="mean").tolist()  # over processes
        if last >= first:
            rank_zero_warn(
                f"the forget loss has not fallen: {first:.4g} in the first {_COMPARED} steps, {last:.4g} in the last; "
                "check model.optimizer.lr, model.retain_weight and the data before this model is used"
            )

    def state_dict(self) -> dict[str, Any]:
        """The first and the last losses, including those of the step that has just ended."""
        self._look_at_waiting()
        return {"steps": self._steps, "first": self._first, "last": list(self._last)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resumes with those of the interrupted run."""
        self._steps, self._first = state_dict["steps"], list(state_dict["first"])
        self._last.extend(state_dict["last"])

    def look_now(self, step: int, pl_module: L.LightningModule) -> None:
        """Checks all values before something is saved.

        Args:
            step: number of the last step.
            pl_module: the module that is trained.
        """
        self._look_at_waiting()
        parameters = pl_module.parameters()
        norm = _norm(parameter.detach() for parameter in parameters if parameter.requires_grad)
        if not norm.isfinite():
            raise Diverged(f"step {step}: the trained parameters are not finite; {self._advice()}")

    def _look_at_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._look(waiting)

    def _look(self, seen: _Seen | None) -> None:
        if seen is None:
            return
        if seen.arrived is not None:
            seen.arrived.synchronize()
        for stream, losses in seen.losses.items():
            wrong = ~losses.isfinite()
            if wrong.any():
                rows = ", ".join(map(str, seen.rows[stream].cpu()[wrong].tolist()))
                raise Diverged(f"step {seen.step}: the {stream} loss of row {rows} is not finite; {self._advice()}")
        if seen.gradient is not None and not seen.gradient.isfinite():
            raise Diverged(f"step {seen.step}: the gradient is not finite; {self._advice()}")
        self._finite = {stream: float(losses.mean()) for stream, losses in seen.losses.items()}
        if "forget" in self._finite:
            self._steps += 1
            self._last.append(self._finite["forget"])
            self._first += [self._finite["forget"]] if len(self._first) < _COMPARED else []

    def _advice(self) -> str:
        last = ", ".join(f"{stream} {value:.4g}" for stream, value in self._finite.items()) or "none"
        kept = self._folder / layout.LAST_CHECKPOINT
        before = f"{kept} is of a step before" if kept.exists() else "no checkpoint had been written"
        return f"last finite losses: {last}; {before}; lower model.optimizer.lr, or look at these rows"


def _seen(step: int, outputs: Any, batch: Any, gradient: Tensor | None) -> _Seen:
    given = [
        stream for stream in _STREAMS if f"{stream}_losses" in outputs
    ]  # an overridden training_step may not return them
    losses = {stream: outputs[f"{stream}_losses"].to("cpu", non_blocking=True) for stream in given}
    rows = {stream: batch[stream]["row"] for stream in given}
    norm = None if gradient is None else gradient.to("cpu", non_blocking=True)
    return _Seen(step, losses, rows, norm, _event(outputs["loss"].device))


def _event(device: torch.device) -> Any:
    """Marks how far the device's queue is filled now; None on the CPU, which has none."""
    if device.type == "cpu":
        return None
    event = torch.Event(device)
    event.record()
    return event


def _norm(values: Iterable[Tensor | None]) -> Tensor:
    """The norm of this process's part of some tensors: finite if all values are and the norm does not overflow."""
    own = [_own_part(value) for value in values if value is not None]
    return torch.nn.utils.get_total_norm([value for value in own if value.numel()] or [torch.zeros(1)])


def _own_part(value: Tensor) -> Tensor:
    local: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return local


def _changed(module: Any) -> bool:
    """Whether this process's part of any trained parameter has changed."""
    originals = module.frozen.originals()
    now = {name: module.updated.get_parameter(name) for name in originals}
    return any(not torch.equal(_own_part(now[name]), _own_part(before)) for name, before in originals.items())
