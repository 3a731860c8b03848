"""The attacks, imported so that a config can name them by their short names."""

from lit_unlearn.commands.attack.fine_tuning import FineTuning
from lit_unlearn.commands.attack.half_precision import HalfPrecision
from lit_unlearn.commands.attack.merged_weights import MergedWeights
from lit_unlearn.commands.attack.pruned_weights import PrunedWeights
from lit_unlearn.commands.attack.rounded_weights import RoundedWeights

__all__ = ["FineTuning", "HalfPrecision", "MergedWeights", "PrunedWeights", "RoundedWeights"]
