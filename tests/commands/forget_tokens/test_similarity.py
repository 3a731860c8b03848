import math

import pytest
import torch

from lit_unlearn.commands.forget_tokens.similarity import mean_scores, mean_state, ranked, similarity


def test_similarity_equals_a_loop() -> None:
    source = torch.Generator().manual_seed(0)
    ngrams, documents = (torch.randn(3, 5, 4, generator=source) for _ in range(2))
    mask = torch.tensor([[0, 1, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]])
    found = similarity(mean_state(ngrams, mask), mean_state(documents, torch.ones(3, 5).long()))
    for row in range(3):
        tokens = [ngrams[row, place].tolist() for place in range(5) if mask[row, place]]
        first = [sum(values) / len(tokens) for values in zip(*tokens, strict=True)]
        second = [sum(documents[row, :, dim].tolist()) / 5 for dim in range(4)]
        product = sum(a * b for a, b in zip(first, second, strict=True))
        assert float(found[row]) == pytest.approx(product / (math.hypot(*first) * math.hypot(*second)), abs=1e-6)


def test_what_does_not_count_may_be_anything() -> None:
    hidden = torch.tensor([[[math.nan, math.inf], [2.0, 4.0]]])
    assert mean_state(hidden, torch.tensor([[0, 1]])).tolist() == [[2.0, 4.0]]
    assert mean_state(hidden, torch.tensor([[0, 0]])).tolist() == [[0.0, 0.0]]


def test_half_precision_is_summed_in_float32() -> None:
    hidden = torch.full((1, 600, 1), 1.5, dtype=torch.bfloat16)
    hidden[0, 0] = 2.5
    mean = mean_state(hidden, torch.ones(1, 600).long())
    assert mean.dtype == torch.float32
    assert float(mean) == pytest.approx(1.5 + 1 / 600, abs=1e-6)


def test_each_class_has_its_texts_once_best_first() -> None:
    scores = mean_scores([("a", 0.1), ("b", 0.2), ("c", 0.5), ("d", 0.9), ("c", 0.7), ("d", 0.9), ("e", 0.45)])
    assert scores == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.6, "d": 0.9, "e": 0.45})
    assert ranked(scores, 2) == {"most": ["d", "c"], "mean": ["e", "c"], "least": ["a", "b"]}
    assert [len(texts) for texts in ranked(scores, 10).values()] == [5, 5, 5]


def test_the_ranking_does_not_depend_on_the_order_of_equal_scores() -> None:
    texts = ["d", "a", "c", "b"]
    forwards, backwards = (ranked(dict.fromkeys(order, 0.5), 2) for order in (texts, texts[::-1]))
    assert forwards == backwards == {"most": ["a", "b"], "mean": ["a", "b"], "least": ["a", "b"]}
