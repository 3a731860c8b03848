"""Forget losses, one method per file."""

from lit_unlearn.forget.adaptive_rmu import AdaptiveRMU
from lit_unlearn.forget.rmu import RMU
from lit_unlearn.forget.rsv import RSV

__all__ = ["RMU", "RSV", "AdaptiveRMU"]
