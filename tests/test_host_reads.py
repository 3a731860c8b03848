"""No step waits for the device but where something is logged: nothing reads a value of it on the host."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode

from lit_unlearn import RMU, RSV, AdaptiveRMU, CircuitBreaker, RepresentationMSE, RepresentationNorm
from lit_unlearn.losses.contract import Loss
from tests.fast import only
from tests.training import demo_data, demo_module, quiet_trainer

_aten = torch.ops.aten
_READS = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.equal.default,
}
"""Operations that return numbers or shapes which a GPU would have to compute first."""
METHODS: dict[str, tuple[Callable[[], Loss], Callable[[], Loss]]] = {
    "RMU": (lambda: RMU(6.5), RepresentationMSE),
    "AdaptiveRMU": (lambda: AdaptiveRMU(3.0), RepresentationMSE),
    "RSV": (lambda: RSV(10.0), RepresentationMSE),
    "CircuitBreaker": (CircuitBreaker, RepresentationNorm),
}


class HostReads(TorchDispatchMode):
    """Collects who reads a value of a tensor: the innermost file that is not torch's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.files: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masked = func is _aten.index.Tensor and any(one is not None and one.dtype == torch.bool for one in args[1])
        if func in _READS or masked:
            self.files.add(_caller())
        return func(*args, **(kwargs or {}))


class Watched(L.Callback):
    """Watches each step from its forward to the optimizer's step; `files[n]` are those of step n + 1."""

    def __init__(self) -> None:
        self.files: list[set[str]] = []

    def on_train_batch_start(self, *args: Any) -> None:
        self._reads = HostReads()
        self._reads.__enter__()  # type: ignore[no-untyped-call]

    def on_train_batch_end(self, *args: Any) -> None:
        self._reads.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self.files.append(self._reads.files)


def _caller() -> str:
    frame = sys._getframe(1)
    while frame.f_back is not None and (f"{Path(torch.__file__).parent}/" in frame.f_code.co_filename or _own(frame)):
        frame = frame.f_back
    return Path(frame.f_code.co_filename).name


def _own(frame: Any) -> bool:
    return bool(frame.f_code.co_filename == __file__)


def files_that_read(world: Path, folder: Path, **options: Any) -> list[set[str]]:
    """Who reads in each of three steps, of which the last is logged."""
    watched = Watched()
    module = demo_module(world, optimizer=lambda parameters: SGD(parameters, lr=1e-3), **options)
    trainer = quiet_trainer(folder, callbacks=[watched], log_every_n_steps=3)
    trainer.fit(module, demo_data(world, batch_size=4))
    assert len(watched.files) == 3
    return watched.files


@pytest.mark.parametrize("method", only(METHODS, "RMU"))
def test_a_step_with_losses_on_states_reads_nothing_on_the_host(world: Path, tmp_path: Path, method: str) -> None:
    forget, retain = (loss() for loss in METHODS[method])
    first, second, _ = files_that_read(world, tmp_path, forget=forget, retain=retain)
    assert second == {"masking_utils.py"}  # transformers asks of each batch whether it has padding
    assert "unlearn.py" in first  # the first step checks the coefficient against the states


def test_what_reads_the_rows_is_seen(world: Path, tmp_path: Path) -> None:
    assert "unlearn.py" in files_that_read(world, tmp_path, attention_dropout=0.1)[1]
