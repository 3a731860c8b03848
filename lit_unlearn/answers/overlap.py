"""What a written answer has in common with the right one: ROUGE-L (Lin 2004), by torchmetrics."""

from collections.abc import Mapping

from torchmetrics.functional.text import rouge_score


def rouge_l(written: str, answer: str) -> Mapping[str, float]:
    """`recall` and `fmeasure` of the longest common subsequence of words, 0 to 1; Porter's stemmer, as in TOFU.

    Args:
        written: by the model.
        answer: the right one.

    Example:
        >>> rouge_l("He wrote a book", "She writes books")["fmeasure"] > 0
        True
    """
    found = rouge_score(written, answer, rouge_keys="rougeL", use_stemmer=True)
    return {name: float(found[f"rougeL_{name}"]) for name in ("recall", "fmeasure")}
