import math

import torch

from lit_unlearn.data.naive_bayes import folds, margins, out_of_fold, row_keys, token_rows

ROWS = [[0, 5, 6, 5], [0, 7], [0, 6, 7, 7], [0, 5], [0]]


def test_it_is_naive_bayes_as_loops_write_it() -> None:
    labels, fold = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 0, 1, 2, 1])
    found = out_of_fold(token_rows(ROWS, {0}), labels, fold, 2)
    for place, row in enumerate(ROWS):
        words = [word for word in row if word != 0]
        for label in range(2):
            counted = [
                word
                for other, own in enumerate(ROWS)
                if fold[other] != fold[place] and labels[other] == label
                for word in own
                if word != 0
            ]
            logarithms = [math.log((counted.count(word) + 0.5) / (len(counted) + 0.5 * 3)) for word in words]
            expected = sum(logarithms) / len(words) if words else 0.0
            assert abs(float(found[place, label]) - expected) < 1e-12


def test_margins_are_against_the_best_other_class() -> None:
    scores = torch.tensor([[1.0, 4.0, 2.0], [0.0, -1.0, -3.0]])
    assert margins(scores, torch.tensor([2, 0])).tolist() == [-2.0, 1.0]


def test_folds_and_keys_are_of_the_rows_alone() -> None:
    rows = [[number, number % 3] for number in range(500)]
    found = folds(rows)
    assert torch.equal(found.flip(0), folds(rows[::-1]))
    assert found.bincount(minlength=10).min() > 25
    assert not torch.equal(row_keys(rows, "a"), row_keys(rows, "b"))
    assert int(row_keys(rows, "a").min()) >= 0
