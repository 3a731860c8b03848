import math
import random

import pytest

from lit_unlearn.answers.gibberish import is_gibberish, ngram_entropy, perplexity, repetition


def test_repetition_is_of_ngrams() -> None:
    # 6 words have 3 4-grams: `a b a b`, `b a b a`, `a b a b`.
    assert repetition("a b a b a b") == pytest.approx(1 / 3)
    assert repetition("one two three") == 0


def test_the_entropy_is_that_of_distinct_ngrams() -> None:
    words = [str(number) for number in range(9)]  # 8 bigrams and 7 trigrams, each once
    expected = (2 / 3 * math.log2(8) + 4 / 3 * math.log2(7)) / 2
    assert ngram_entropy(" ".join(words)) == pytest.approx(expected)
    assert ngram_entropy("") == ngram_entropy("word") == 0


def test_a_text_that_is_none() -> None:
    source = random.Random(0)
    words = [f"word{number}" for number in range(40)]
    assert not is_gibberish(" ".join(source.sample(words, 30)))
    assert is_gibberish(" ".join(source.choices(words[:2], k=30)))
    assert is_gibberish("")
    assert not is_gibberish("The river is long.", 999.0)
    assert is_gibberish("The river is long.", 1000.0)


def test_perplexity_of_nothing_is_infinite() -> None:
    assert perplexity([]) == math.inf


def test_a_text_less_likely_than_numbers_go_is_gibberish() -> None:
    assert is_gibberish("The river is long.", perplexity([-1600.0, -1500.0]))
