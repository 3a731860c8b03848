import math

import pytest
import torch

from lit_unlearn.commands.analysis import theory


def simulated(eta: float, nu: float, ratio: float) -> tuple[float, float]:
    """Share of ΔJ_rna / ΔJ_method ≤ 0, over all draws and over those with ΔJ_method > 0."""
    source = torch.Generator().manual_seed(0)
    first, second, third = torch.randn(3, 1_000_000, generator=source)
    method = math.sqrt(eta) * first
    rna = method + math.sqrt(nu) * (ratio * second - third)
    return (rna / method <= 0).double().mean().item(), (rna[method > 0] <= 0).double().mean().item()


@pytest.mark.parametrize(("eta", "nu", "ratio"), [(1.0, 1.0, 1.0), (0.3, 2.0, 0.5), (4.0, 0.1, 3.0)])
def test_the_corrected_probability_is_that_of_a_simulation(eta: float, nu: float, ratio: float) -> None:
    predicted = float(theory.reject_probability(eta, nu, torch.tensor(ratio), corrected=True))
    assert simulated(eta, nu, ratio) == pytest.approx((predicted, predicted), abs=0.002)


def test_the_papers_probability_is_another() -> None:
    one = torch.tensor([1.0])
    found = [float(theory.reject_probability(1.0, 1.0, one, corrected=how)) for how in (True, False)]
    assert found == pytest.approx([0.304, 0.352], abs=5e-4)
    assert simulated(1.0, 1.0, 1.0)[0] == pytest.approx(0.304, abs=2e-3)


def test_variances_and_products_are_those_of_loops() -> None:
    source = torch.Generator().manual_seed(0)
    gradient, difference = torch.randn(2, 3, 4, 5, generator=source)
    difference[0, :2] = 0.0  # tokens that don't count
    entries = (2 + 4 + 4) * 5
    squares = sum(value**2 for value in difference.flatten().tolist())
    assert theory.variance(difference, entries) == pytest.approx(squares / entries)
    for query in range(3):
        pairs = list(zip(gradient[query].flatten().tolist(), difference[query].flatten().tolist(), strict=True))
        assert float(theory.first_order(gradient, difference)[query]) == pytest.approx(sum(a * b for a, b in pairs))
        assert float(theory.squared_norm(gradient)[query]) == pytest.approx(sum(a * a for a, _ in pairs))


@pytest.mark.parametrize(("count", "dim"), [(400, 32), (60, 200)])
def test_isotropic_noise_looks_normal(count: int, dim: int) -> None:
    found = theory.normality(3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(0)))
    assert 0 < found.mean_share < 2 / count
    assert found.dimensions == pytest.approx(found.expected_dimensions, rel=0.05)
    assert found.skewness == pytest.approx(0, abs=0.1)
    assert found.kurtosis == pytest.approx(0, abs=0.2)


def test_steering_does_not_look_normal() -> None:
    source = torch.Generator().manual_seed(0)
    direction = torch.rand(32, generator=source)
    found = theory.normality(torch.rand(200, 1, generator=source) * direction)
    assert found.mean_share == pytest.approx(0.75, abs=0.05)  # of U(0, 1): mean² / mean square
    assert found.dimensions == pytest.approx(1, abs=0.01)
    assert found.expected_dimensions > 25
    assert found.skewness > 0.5
    assert theory.normality(torch.randn(100, 30, generator=source) ** 3).kurtosis > 10
