"""Forget losses, one method per file."""

from lit_unlearn.forget.adaptive_rmu import AdaptiveRMU
from lit_unlearn.forget.dpo import DPO
from lit_unlearn.forget.gradient_ascent import GradientAscent
from lit_unlearn.forget.npo import NPO
from lit_unlearn.forget.relearning import Relearning
from lit_unlearn.forget.rmu import RMU
from lit_unlearn.forget.rsv import RSV
from lit_unlearn.forget.simnpo import SimNPO

__all__ = ["DPO", "NPO", "RMU", "RSV", "AdaptiveRMU", "GradientAscent", "Relearning", "SimNPO"]
