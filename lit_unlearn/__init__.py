"""Unlearning in causal language models that stay usable afterwards, on PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_unlearn.callbacks import (
        ExportPretrained,
        Generations,
        LastCheckpoint,
        LMEvalHarness,
        PerturbationRobustness,
    )
    from lit_unlearn.data import DemoDataModule, Mixing, TextSource, UnlearnDataModule, WMDPDataModule
    from lit_unlearn.errors import InputError
    from lit_unlearn.forget import DPO, NPO, RMU, RSV, AdaptiveRMU, GradientAscent, Relearning, SimNPO
    from lit_unlearn.fsdp1 import FSDP1
    from lit_unlearn.lora import Lora
    from lit_unlearn.loss import Batch, Loss, Outputs, PerTopic
    from lit_unlearn.module import UnlearnModule
    from lit_unlearn.no_loss import NoLoss
    from lit_unlearn.outside import outside_step
    from lit_unlearn.prefix_store import PrefixStore
    from lit_unlearn.question_module import QuestionModule
    from lit_unlearn.retain import NLL, LogitKL, LogitMSE, RepresentationMSE

__all__ = [
    "DPO",
    "FSDP1",
    "NLL",
    "NPO",
    "RMU",
    "RSV",
    "AdaptiveRMU",
    "Batch",
    "DemoDataModule",
    "ExportPretrained",
    "Generations",
    "GradientAscent",
    "InputError",
    "LMEvalHarness",
    "LastCheckpoint",
    "LogitKL",
    "LogitMSE",
    "Lora",
    "Loss",
    "Mixing",
    "NoLoss",
    "Outputs",
    "PerTopic",
    "PerturbationRobustness",
    "PrefixStore",
    "QuestionModule",
    "Relearning",
    "RepresentationMSE",
    "SimNPO",
    "TextSource",
    "UnlearnDataModule",
    "UnlearnModule",
    "WMDPDataModule",
    "outside_step",
]

_HOMES = {
    "callbacks": ("ExportPretrained", "Generations", "LastCheckpoint", "LMEvalHarness", "PerturbationRobustness"),
    "data": ("DemoDataModule", "Mixing", "TextSource", "UnlearnDataModule", "WMDPDataModule"),
    "errors": ("InputError",),
    "forget": ("DPO", "NPO", "RMU", "RSV", "AdaptiveRMU", "GradientAscent", "Relearning", "SimNPO"),
    "fsdp1": ("FSDP1",),
    "lora": ("Lora",),
    "loss": ("Batch", "Loss", "Outputs", "PerTopic"),
    "module": ("UnlearnModule",),
    "no_loss": ("NoLoss",),
    "outside": ("outside_step",),
    "prefix_store": ("PrefixStore",),
    "question_module": ("QuestionModule",),
    "retain": ("NLL", "LogitKL", "LogitMSE", "RepresentationMSE"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `lit-unlearn --help` must not wait for torch."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"lit_unlearn.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
