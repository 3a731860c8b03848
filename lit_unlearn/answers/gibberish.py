"""Whether a written text is one: by repetition and perplexity, or by a classifier's probability."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from lit_unlearn.answers.likelihood import LARGEST

MOST_REPEATED = 0.5
"""Of a text's 4-grams, the share of repeated ones from which on it is gibberish; ours."""
LEAST_PERPLEXITY = 1000.0
"""Under another model, from which on a text is gibberish; ours."""
_REPEATED = 4
_ENTROPIES = {2: 2 / 3, 3: 4 / 3}
"""Weights of the entropies of bigrams and trigrams (Zhang et al. 2018; Meng et al. 2022)."""


def repetition(text: str, n: int = _REPEATED) -> float:
    """1 minus the share of distinct ones among a text's n-grams of words, 0 to 1 (Welleck et al. 2020); 0 of none.

    Example:
        >>> repetition("a b c d a b c d a b c d") > 0.5, repetition("a b c d e")
        (True, 0.0)
    """
    found = _ngrams(text.split(), n)
    return 1 - len({*found}) / len(found) if found else 0.0


def ngram_entropy(text: str) -> float:
    """The weighted mean entropy of a text's bigrams and trigrams, in bits: what RWKU calls fluency.

    Words are split at blanks, where RWKU's code asks nltk for tokens, which counts punctuation apart.

    Example:
        >>> ngram_entropy("a a a a a a"), round(ngram_entropy("the cat sat on the mat"), 3)
        (0.0, 2.107)
    """
    words = text.split()
    return fmean(weight * _entropy(_ngrams(words, n)) for n, weight in _ENTROPIES.items())


def perplexity(logprobs: Sequence[float]) -> float:
    """1 to e^700: exp of minus the mean log-probability of a text's tokens; infinite where there are none.

    Args:
        logprobs: under another model, in nats.

    Example:
        >>> perplexity([math.log(0.5), math.log(0.125)])
        4.0
    """
    return math.exp(min(LARGEST, -fmean(logprobs))) if logprobs else math.inf


def is_gibberish(text: str, perplexity: float | None = None) -> bool:
    """Whether a text has no letters or digits, repeats itself (`MOST_REPEATED`) or is unlikely (`LEAST_PERPLEXITY`).

    Args:
        text: written by a model.
        perplexity: of the text under another model; None where that is not known.

    Example:
        >>> is_gibberish("..."), is_gibberish("no " * 9), is_gibberish("The cat sat."), is_gibberish("The cat.", 1e6)
        (True, True, False, True)
    """
    if not any(letter.isalnum() for letter in text):
        return True
    return repetition(text) >= MOST_REPEATED or (perplexity is not None and perplexity >= LEAST_PERPLEXITY)


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def _entropy(ngrams: Sequence[tuple[str, ...]]) -> float:
    shares = [count / len(ngrams) for count in Counter(ngrams).values()]
    return -math.fsum(share * math.log2(share) for share in shares)
