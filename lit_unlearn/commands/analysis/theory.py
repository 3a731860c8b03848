"""What the theorems behind Random Noise Augmentation predict, and what is measured of it: pure functions.

Notation of the paper: z is the hidden state that a forget token disturbs, z + ε under perturbation; ε ~ N(0, ηI) is its
Assumption 4.2. J, a gradient, is that of a number made of the logits with respect to z. A model trained with noise
differs from one without by δ, of variance ν.

Differences of states, `[queries, width, dim]`, are 0 at tokens that don't count; `entries` is how many numbers do.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Normality(NamedTuple):
    """How far vectors are from draws of N(0, ηI)."""

    mean_share: float
    """Share of the mean square that is the square of the mean: 0 for noise, 1 for a shift that is always the same."""
    dimensions: float
    """Dimensions that the variance is spread over: (Σλ)² / Σλ², λ the eigenvalues of the covariance."""
    expected_dimensions: float
    """What as many draws of N(0, ηI) would give."""
    skewness: float
    """Of all entries; 0 for a normal distribution."""
    kurtosis: float
    """Excess kurtosis of all entries; 0 for a normal distribution."""


def variance(difference: Tensor, entries: int) -> float:
    """η or ν: the mean square of the entries that count, since the theorems' noise has mean 0.

    Example:
        >>> variance(torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]), entries=2)
        12.5
    """
    return difference.double().square().sum().item() / entries


def first_order(gradient: Tensor, difference: Tensor) -> Tensor:
    """The Jacobian-vector product J·ε of each query `[queries]`: the output change to first order.

    Example:
        >>> first_order(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0]]]))
        tensor([11.])
    """
    return (gradient * difference).flatten(1).sum(dim=1)


def squared_norm(gradient: Tensor) -> Tensor:
    """JᵀJ of each query `[queries]`.

    Example:
        >>> squared_norm(torch.tensor([[[3.0, 4.0]]]))
        tensor([25.])
    """
    return gradient.square().flatten(1).sum(dim=1)


def reject_probability(eta: float, nu: float, ratio: Tensor, *, corrected: bool) -> Tensor:
    """Theorem 5.2: the probability that training with noise turns the loss change of a forget token.

    P = 1/2 - arctan(sqrt(η/ν) / s) / π. To first order the change is g·ε without and g·ε + g_per·δ₂ - g·δ₁ with noise,
    so that their ratio is 1 plus a quotient of independent normals of standard deviations sqrt(ν (‖g‖² + ‖g_per‖²)) and
    sqrt(η) ‖g‖: a Cauchy variable of scale sqrt(ν/η) · s with s = sqrt(1 + r²). The paper adds standard deviations in
    the place of variances and has s = 1 + r.

    Args:
        eta: η, variance of the forget token's effect on the states.
        nu: ν, variance of what training with noise does to the states.
        ratio: r = ‖g_per‖ / ‖g‖, of any shape.
        corrected: s as derived here; else the paper's.

    Example:
        >>> one = torch.ones(())
        >>> [round(float(reject_probability(0.5, 0.5, one, corrected=how)), 3) for how in (True, False)]
        [0.304, 0.352]
    """
    spread = (1 + ratio.square()).sqrt() if corrected else 1 + ratio
    return 0.5 - torch.arctan(math.sqrt(eta / nu) / spread) / math.pi


def normality(vectors: Tensor) -> Normality:
    """How far vectors `[count, dim]` are from draws of one N(0, ηI).

    Example:
        >>> normality(torch.tensor([[1.0, 0.0], [3.0, 0.0]])).mean_share
        0.8
    """
    vectors = vectors.double()
    count, dim = vectors.shape
    entries = vectors.flatten() - vectors.mean()
    scale = entries.square().mean().sqrt()
    centred = vectors - vectors.mean(dim=0)
    # Of the smaller of the two matrices that have these eigenvalues.
    gram = centred @ centred.T if count < dim else centred.T @ centred
    return Normality(
        mean_share=(vectors.mean(dim=0).square().sum() / vectors.square().sum(dim=1).mean()).item(),
        dimensions=(gram.trace().square() / gram.square().sum()).item(),
        expected_dimensions=(count - 1) * dim / (count + dim),
        skewness=((entries / scale) ** 3).mean().item(),
        kurtosis=((entries / scale) ** 4).mean().item() - 3,
    )
