"""The two numbers of TOFU (Maini et al. 2024, arXiv 2401.06121): forget quality and model utility."""

from collections.abc import Sequence
from statistics import harmonic_mean

from scipy.stats import ks_2samp


def forget_quality(found: Sequence[float], retrained: Sequence[float]) -> float:
    """The p-value of a two-sample Kolmogorov-Smirnov test, 0 to 1: small where the models differ on the forget set.

    Args:
        found: truth ratios of the forget set's rows under the model.
        retrained: the same under a model that never saw them.

    Example:
        >>> forget_quality([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
        1.0
    """
    return float(ks_2samp(found, retrained).pvalue)


def model_utility(parts: Sequence[float]) -> float:
    """The harmonic mean; 0 where one part is 0.

    Args:
        parts: probability, ROUGE-L recall and truth ratio (`truthful`) on retained rows, real authors and world facts.

    Example:
        >>> model_utility([1.0, 0.5]), model_utility([1.0, 0.0])
        (0.6666666666666666, 0.0)
    """
    return float(harmonic_mean(parts))
