"""Callbacks for the Trainer."""

from lit_unlearn.callbacks.export import ExportPretrained

__all__ = ["ExportPretrained"]
