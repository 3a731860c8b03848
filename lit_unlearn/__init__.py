"""Unlearning in causal language models that stay usable afterwards, on PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_unlearn.callbacks import ExportPretrained, PerturbationRobustness
    from lit_unlearn.data import DemoDataModule, TextSource, UnlearnDataModule, WMDPDataModule
    from lit_unlearn.errors import InputError
    from lit_unlearn.forget import RMU, RSV, AdaptiveRMU
    from lit_unlearn.loss import Batch, Loss, Outputs, PerTopic
    from lit_unlearn.module import UnlearnModule
    from lit_unlearn.retain import NLL, RepresentationMSE

__all__ = [
    "NLL",
    "RMU",
    "RSV",
    "AdaptiveRMU",
    "Batch",
    "DemoDataModule",
    "ExportPretrained",
    "InputError",
    "Loss",
    "Outputs",
    "PerTopic",
    "PerturbationRobustness",
    "RepresentationMSE",
    "TextSource",
    "UnlearnDataModule",
    "UnlearnModule",
    "WMDPDataModule",
]

_HOMES = {
    "callbacks": ("ExportPretrained", "PerturbationRobustness"),
    "data": ("DemoDataModule", "TextSource", "UnlearnDataModule", "WMDPDataModule"),
    "errors": ("InputError",),
    "forget": ("RMU", "RSV", "AdaptiveRMU"),
    "loss": ("Batch", "Loss", "Outputs", "PerTopic"),
    "module": ("UnlearnModule",),
    "retain": ("NLL", "RepresentationMSE"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `lit-unlearn --help` must not wait for torch."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"lit_unlearn.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
