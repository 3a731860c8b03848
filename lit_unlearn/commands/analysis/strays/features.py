"""φ, what the classifier reads of a row: its mean state, standardised, projected where it is wide. Pure functions."""

from typing import NamedTuple

import torch
from torch import Tensor

MOST_PARAMETERS = 4096
"""Free parameters of the classifier, (classes - 1) · (dim + 1), beyond which φ is projected: their Hessian is exact."""
PROJECTED = 1024
"""Principal directions on which it is, at most."""
_CHUNK = 1024
"""Rows that are in memory in float64 before they are projected."""


class Features(NamedTuple):
    """How φ is made of mean states."""

    mean: Tensor
    deviation: Tensor
    directions: Tensor | None
    """`[dim, projected]`; None projects nothing."""

    def of(self, states: Tensor) -> Tensor:
        """φ of rows: float64 `[rows, dim or projected]`.

        Args:
            states: means over tokens, `[rows, dim]`.

        Example:
            >>> states = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
            >>> features(states, 2).of(states)
            tensor([[-1.,  0.],
                    [ 1.,  0.]], dtype=torch.float64)
        """
        return torch.cat([self._projected(some) for some in states.split(_CHUNK)])

    def _projected(self, states: Tensor) -> Tensor:
        standardised = (states.double() - self.mean) / self.deviation
        return standardised if self.directions is None else standardised @ self.directions


def features(states: Tensor, classes: int) -> Features:
    """Each dimension with mean 0 and standard deviation 1 over these rows, then the first principal directions if wide.

    Args:
        states: means over tokens, `[rows, dim]`.
        classes: of the classifier.
    """
    mean = states.mean(dim=0, dtype=torch.float64)
    variance = torch.stack([(some - mean).square().sum(dim=0) for some in states.split(_CHUNK)]).sum(dim=0)
    deviation = (variance / len(states)).sqrt()
    # A dimension that never changes says nothing, and must not become noise of the arithmetic.
    found = Features(mean, torch.where(deviation > 1e-6 * deviation.max(), deviation, torch.inf), None)
    if (classes - 1) * (states.shape[1] + 1) <= MOST_PARAMETERS:
        return found
    return found._replace(directions=_principal(found, states)[:, -_width(classes) :])


def _width(classes: int) -> int:
    return max(1, min(PROJECTED, MOST_PARAMETERS // (classes - 1) - 1))


def _principal(found: Features, states: Tensor) -> Tensor:
    """Principal directions of standardised states, the last ones with most variance."""
    covariance = states.new_zeros(2 * states.shape[1:], dtype=torch.float64)
    for some in states.split(_CHUNK):
        own = found.of(some)
        covariance += own.T @ own
    directions: Tensor = torch.linalg.eigh(covariance)[1]
    return directions


def with_constant(phi: Tensor) -> Tensor:
    """[φ, 1]: `[rows, dim + 1]`."""
    return torch.cat([phi, torch.ones_like(phi[:, :1])], dim=1)
