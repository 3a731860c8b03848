import pytest
import torch

from lit_unlearn.commands.analysis.strays.precision import average_precision, precision_recall


def test_it_is_the_mean_precision_where_something_is_found() -> None:
    source = torch.Generator().manual_seed(0)
    scores, wanted = torch.rand(50, generator=source), torch.rand(50, generator=source) < 0.2
    ranked = [bool(wanted[place]) for place in scores.argsort()]
    precisions = [sum(ranked[: place + 1]) / (place + 1) for place in range(50) if ranked[place]]
    assert average_precision(scores, wanted) == pytest.approx(sum(precisions) / len(precisions), abs=1e-12)


def test_equal_scores_are_taken_together_in_any_order() -> None:
    scores, wanted = torch.tensor([1, 1, 1, 0, 2]), torch.tensor([True, False, False, True, False])
    expected = (1 + 2 / 4) / 2
    for order in (torch.arange(5), torch.tensor([4, 2, 0, 1, 3])):
        assert average_precision(scores[order], wanted[order]) == pytest.approx(expected)
    assert precision_recall(scores, wanted).recall.tolist() == [0.5, 1.0, 1.0]
