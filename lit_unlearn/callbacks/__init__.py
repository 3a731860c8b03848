"""Callbacks for the Trainer."""

from lit_unlearn.callbacks.answer_evaluation import AnswerEvaluation
from lit_unlearn.callbacks.export import ExportPretrained
from lit_unlearn.callbacks.generations import Generations
from lit_unlearn.callbacks.interpolation import Interpolation
from lit_unlearn.callbacks.last_checkpoint import LastCheckpoint
from lit_unlearn.callbacks.likelihood_robustness import LikelihoodRobustness
from lit_unlearn.callbacks.lm_eval import LMEvalHarness
from lit_unlearn.callbacks.repairs import Repairs
from lit_unlearn.callbacks.retain_constraint import RetainConstraint
from lit_unlearn.callbacks.retain_schedule import RetainSchedule
from lit_unlearn.callbacks.robustness import PerturbationRobustness
from lit_unlearn.callbacks.shrink_and_perturb import ShrinkAndPerturb
from lit_unlearn.callbacks.stop_at_forgetting import StopAtForgetting
from lit_unlearn.callbacks.unlearned_weights import UnlearnedWeights

__all__ = [
    "AnswerEvaluation",
    "ExportPretrained",
    "Generations",
    "Interpolation",
    "LMEvalHarness",
    "LastCheckpoint",
    "LikelihoodRobustness",
    "PerturbationRobustness",
    "Repairs",
    "RetainConstraint",
    "RetainSchedule",
    "ShrinkAndPerturb",
    "StopAtForgetting",
    "UnlearnedWeights",
]
