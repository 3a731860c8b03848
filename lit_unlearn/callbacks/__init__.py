"""Callbacks for the Trainer."""

from lit_unlearn.callbacks.export import ExportPretrained
from lit_unlearn.callbacks.robustness import PerturbationRobustness

__all__ = ["ExportPretrained", "PerturbationRobustness"]
