"""Losses: one forget loss per file, the retain losses, the contract and the maths that they share."""

from lit_unlearn.losses.adaptive_rmu import AdaptiveRMU
from lit_unlearn.losses.ceu import CEU
from lit_unlearn.losses.circuit_breaker import CircuitBreaker
from lit_unlearn.losses.distillation import Distillation
from lit_unlearn.losses.dpo import DPO
from lit_unlearn.losses.gradient_ascent import GradientAscent
from lit_unlearn.losses.npo import NPO
from lit_unlearn.losses.pdu import PDU
from lit_unlearn.losses.refusal import Refusal
from lit_unlearn.losses.relearning import Relearning
from lit_unlearn.losses.rmu import RMU
from lit_unlearn.losses.rsv import RSV
from lit_unlearn.losses.satimp import SatImp
from lit_unlearn.losses.simnpo import SimNPO
from lit_unlearn.losses.token_weighted_rmu import TokenWeightedRMU
from lit_unlearn.losses.undial import UNDIAL
from lit_unlearn.losses.wga import WGA

__all__ = [
    "CEU",
    "DPO",
    "NPO",
    "PDU",
    "RMU",
    "RSV",
    "UNDIAL",
    "WGA",
    "AdaptiveRMU",
    "CircuitBreaker",
    "Distillation",
    "GradientAscent",
    "Refusal",
    "Relearning",
    "SatImp",
    "SimNPO",
    "TokenWeightedRMU",
]
