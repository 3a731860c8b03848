import pytest
import torch

from lit_unlearn.commands.analysis.strays.accuracy import accuracy, planted, threshold
from lit_unlearn.commands.analysis.strays.scores import SCORES, TRIVIAL, measured
from tests.commands.analysis.strays.made import made


def test_classes_that_can_be_told_apart_give_a_threshold() -> None:
    rows = made(150, apart=3.0)
    found = accuracy(planted(measured(rows.states, rows.tokens, [0], 3), rows.tokens, rows.labels))
    assert found.chance == pytest.approx(0.1)
    assert found.best is not None
    assert found.mean(found.best) == max(found.mean(name) for name in TRIVIAL) > 0.9
    assert found.threshold > -10


def test_classes_of_one_kind_cannot_be_told_apart() -> None:
    rows = made(300, apart=0.0)
    tokens = [[0, *row[2:]] for row in rows.tokens]
    found = accuracy(planted(measured(rows.states, tokens, [0], 3), tokens, rows.labels))
    assert found.best is None
    assert found.threshold == float("-inf")
    assert all(found.mean(name) < 0.2 for name in SCORES)


def test_a_threshold_is_the_last_score_with_half_of_the_rows_planted() -> None:
    wrong = torch.tensor([True, False, True, False, False, True, False])
    assert threshold(torch.arange(7.0), wrong) == 5.0  # 3 of 6, though only 2 of 5 before it
    assert threshold(torch.arange(7.0), ~wrong.roll(1)) == 6.0
    assert threshold(torch.arange(3.0), torch.tensor([False, False, True])) == -1.0  # lists nothing
