"""Decoder layers compiled by `torch.compile`, for the steps of a training."""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lit_unlearn.errors import InputError
from lit_unlearn.running.hooks import Answer

_FORMS = 64
"""Compiled forms of a layer's forward: by what is trained in it, gradient, mask and dtype; torch's own limit is 8."""


class CompiledLayers:
    """Compiled forwards of decoder layers.

    A compiled form serves all layers that are alike, and rows of any number and length. Hooks on the layers run as
    ever, since what is compiled is what a layer itself computes; of hooks on its parts, those that are there at the
    first step.

    Args:
        layers: the decoder layers.
        backend: of `torch.compile`.
    """

    def __init__(self, layers: nn.ModuleList, backend: str | Callable[..., Any] = "inductor") -> None:
        self._forwards = [(layer, _compiled(layer, backend)) for layer in layers]

    def without(self, index: int) -> list[Answer]:
        """All layers' forwards but one's, of whose parts the frozen model takes what they have computed."""
        return [forward for place, forward in enumerate(self._forwards) if place != index]


def check_together(*, dropout: float, stored: bool) -> None:
    """Checks that nothing else that is asked for excludes compiled layers.

    Args:
        dropout: the largest rate in a layer.
        stored: states of other runs are read.

    Raises:
        InputError: it does.
    """
    if dropout > 0:
        raise refused("layers with dropout are not compiled: nothing ensures that a resumed run draws the same numbers")
    if stored:
        raise refused("model.prefix_store holds states of layers that are not compiled", "leave out one of the two")


def check_compiler(device: torch.device, *, sharded: bool) -> None:
    """Checks that layers can be compiled here.

    Args:
        device: where they run.
        sharded: no process holds the whole model.

    Raises:
        InputError: they cannot.
    """
    if sharded:
        raise refused("layers of a sharded model are not compiled", "take trainer/ddp.yaml, or set it to false")
    from torch import _dynamo  # takes seconds
    from torch._dynamo.eval_frame import is_dynamo_supported
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    if not is_dynamo_supported():
        raise refused("torch.compile does not support this platform or version of Python")
    if _dynamo.config.disable:
        raise refused("TORCH_COMPILE_DISABLE turns torch.compile off")
    try:
        found = shutil.which(get_cpp_compiler()) if device.type == "cpu" else ""
    except InvalidCxxCompiler:
        found = None
    if found is None:
        raise refused("no C++ compiler is found", "install g++, name one in CXX, or set it to false")


def refused(reason: str, remedy: str = "set it to false") -> InputError:
    """Why layers cannot be compiled, and what to do."""
    return InputError(f"model.compile: {reason}; {remedy}")


def _compiled(layer: nn.Module, backend: str | Callable[..., Any]) -> Callable[..., Any]:
    make: Any = torch.compile  # its types lack the limit
    forward = make(layer.forward, dynamic=True, fullgraph=True, backend=backend, recompile_limit=_FORMS)

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return forward(*args, **kwargs)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise refused(f"{type(layer).__name__} cannot be compiled ({reason})") from error

    return run
