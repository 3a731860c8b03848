"""The attacks, imported so that a config can name them by their short names."""

from lit_unlearn.commands.attack.ablated_direction import AblatedDirection
from lit_unlearn.commands.attack.beside_question import BesideQuestion
from lit_unlearn.commands.attack.document_in_context import DocumentInContext
from lit_unlearn.commands.attack.few_shot import FewShot
from lit_unlearn.commands.attack.fine_tuning import FineTuning
from lit_unlearn.commands.attack.half_precision import HalfPrecision
from lit_unlearn.commands.attack.linear_probe import LinearProbe
from lit_unlearn.commands.attack.logit_lens import LogitLens
from lit_unlearn.commands.attack.merged_weights import MergedWeights
from lit_unlearn.commands.attack.other_questions import OtherQuestions
from lit_unlearn.commands.attack.other_tokens import OtherTokens
from lit_unlearn.commands.attack.other_words import OtherWords
from lit_unlearn.commands.attack.prefilled_answer import PrefilledAnswer
from lit_unlearn.commands.attack.prefix_template import PrefixTemplate
from lit_unlearn.commands.attack.pruned_weights import PrunedWeights
from lit_unlearn.commands.attack.retain_context import RetainContext
from lit_unlearn.commands.attack.rounded_weights import RoundedWeights
from lit_unlearn.commands.attack.soft_prefix import SoftPrefix
from lit_unlearn.commands.attack.unlearning_depth import UnlearningDepth

__all__ = [
    "AblatedDirection",
    "BesideQuestion",
    "DocumentInContext",
    "FewShot",
    "FineTuning",
    "HalfPrecision",
    "LinearProbe",
    "LogitLens",
    "MergedWeights",
    "OtherQuestions",
    "OtherTokens",
    "OtherWords",
    "PrefilledAnswer",
    "PrefixTemplate",
    "PrunedWeights",
    "RetainContext",
    "RoundedWeights",
    "SoftPrefix",
    "UnlearningDepth",
]
