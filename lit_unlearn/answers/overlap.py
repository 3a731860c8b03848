"""What a written answer has in common with the right one: ROUGE-L (Lin 2004) by torchmetrics, and words in common."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from torchmetrics.functional.text import rouge_score

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)


def rouge_l(written: str, answer: str, *, stemmed: bool = True) -> Mapping[str, float]:
    """`recall` and `fmeasure` of the longest common subsequence of words, 0 to 1.

    Args:
        written: by the model.
        answer: the right one.
        stemmed: by Porter's stemmer, as in TOFU and open-unlearning; MUSE's own scorer does not stem.

    Example:
        >>> rouge_l("He wrote a book", "She writes books")["fmeasure"] > 0
        True
        >>> rouge_l("He wrote a book", "She writes books", stemmed=False)["fmeasure"]
        0.0
    """
    found = rouge_score(written, answer, rouge_keys="rougeL", use_stemmer=stemmed)
    return {name: float(found[f"rougeL_{name}"]) for name in ("recall", "fmeasure")}


def word_f1(written: str, answer: str) -> float:
    """F1 of the words in common, each as often as in both, 0 to 1; what RWKU takes for facts (TriviaQA).

    Lower case, without punctuation and articles. Where one of the texts has no words, 1 if neither has.

    Example:
        >>> word_f1("The capital is Rome.", "rome")
        0.5
    """
    own, right = _words(written), _words(answer)
    if not own or not right:
        return float(own == right)
    common = (Counter(own) & Counter(right)).total()
    return 2 * common / (len(own) + len(right))


def exact_match(written: str, answer: str) -> float:
    """1 where the words are those of the right answer, as `word_f1` counts them, else 0.

    Where neither has words, as an answer of an article alone such as "(A)", their letters are compared.

    Example:
        >>> exact_match("The Beatles!", "beatles"), exact_match("Beatles or Stones", "beatles")
        (1.0, 0.0)
        >>> exact_match("A", "(A)"), exact_match("", "(A)")
        (1.0, 0.0)
    """
    own, right = _words(written), _words(answer)
    if not own and not right:
        return float(_plain(written).split() == _plain(answer).split())
    return float(own == right)


def extracted(written: str, pattern: str | None) -> str:
    r"""The answer in a written text: the first group of a pattern, or all of it where that is not found.

    Args:
        written: by the model.
        pattern: a regular expression; None takes all.

    Example:
        >>> extracted("3 + 4 is 7. So the answer is 7.", r"answer is (.*?)\."), extracted("7", None)
        ('7', '7')
    """
    found = None if pattern is None else re.search(pattern, written)
    return written if found is None else (found[1] or "").strip()


def best(measure: Callable[[str, str], float], written: str, answers: Sequence[str]) -> float:
    """The largest value over all right answers.

    Example:
        >>> best(exact_match, "US", ["United States", "the US"])
        1.0
    """
    return max(measure(written, answer) for answer in answers)


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", _plain(text)).split()


def _plain(text: str) -> str:
    """In lower case, without punctuation."""
    return text.lower().translate(_SIGNS)
