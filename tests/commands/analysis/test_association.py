import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torchmetrics.functional.clustering import mutual_info_score
from torchmetrics.functional.regression import jensen_shannon_divergence

from lit_unlearn.commands.analysis.association import (
    between_centroids,
    correlation,
    jensen_shannon,
    mutual_information,
    shown,
)


def test_correlations_are_those_of_other_libraries() -> None:
    first, second = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    second += first.exp()
    assert correlation(first, second) == pytest.approx(float(np.corrcoef(first, second)[0, 1]))
    assert correlation(first, second, ranks=True) == pytest.approx(float(spearmanr(first, second).statistic))


@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0, 3.0, 3.0]])
def test_there_is_no_correlation_of_two_or_of_equal_values(values: list[float]) -> None:
    found = correlation(torch.tensor(values), torch.arange(len(values)))
    assert found is None
    assert (shown(found), shown(-0.123)) == ("n/a", "-0.12")


def test_the_divergence_is_that_of_a_loop() -> None:
    counts = [3, 0, 5, 2], [1, 4, 0, 5]
    p, q = ([count / sum(side) for count in side] for side in counts)
    terms = []
    for a, b in zip(p, q, strict=True):
        mean = (a + b) / 2
        terms.append(sum(share * math.log2(share / mean) for share in (a, b) if share) / 2)
    found = jensen_shannon(*map(torch.tensor, counts))
    assert found.parts.tolist() == pytest.approx(terms)
    assert found.bits == pytest.approx(sum(terms))


def test_divergence_and_information_are_those_of_torchmetrics() -> None:
    first, second = torch.randint(1, 9, (2, 50), generator=torch.Generator().manual_seed(0))
    expected = jensen_shannon_divergence(first[None].double(), second[None].double()) / math.log(2)
    assert jensen_shannon(first, second).bits == pytest.approx(expected.item())
    table = torch.zeros(9, 9).index_put((first, second), torch.tensor(1.0), accumulate=True)
    assert mutual_information(table) == pytest.approx(mutual_info_score(first, second).item() / math.log(2), rel=1e-5)


def test_the_divergence_is_the_mutual_information_of_value_and_source() -> None:
    first, second = torch.randint(0, 9, (2, 50), generator=torch.Generator().manual_seed(0))
    table = torch.stack([first / first.sum(), second / second.sum()])
    assert jensen_shannon(first, second).bits == pytest.approx(mutual_information(table), abs=1e-6)


def test_labels_that_say_nothing_of_each_other_share_no_information() -> None:
    table = torch.outer(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 5.0, 1.0]))
    assert mutual_information(table) == pytest.approx(0, abs=1e-12)
    # H(0.25) where one label decides the other.
    assert mutual_information(torch.tensor([[5, 0], [0, 15]])) == pytest.approx(0.811278, abs=1e-6)


def test_the_sign_says_which_mean_is_nearer() -> None:
    source = torch.Generator().manual_seed(0)
    vectors, asked = torch.randn(30, 5, generator=source), torch.randn(100, 5, generator=source)
    labels = torch.arange(30) % 3 == 0
    means = torch.stack([vectors[~labels].mean(0), vectors[labels].mean(0)])
    nearer = torch.cdist(asked, means).argmin(dim=1)
    assert ((between_centroids(vectors, labels, asked) > 0).long() == nearer).all()
    assert between_centroids(vectors, labels, means).tolist() == pytest.approx([-0.5, 0.5])
