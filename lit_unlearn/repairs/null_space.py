"""A matrix' change without what it does along the main directions of retain inputs."""

import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.repairs.contract import WeightRepair


def null_space(change: Tensor, retain: Tensor, *, energy: float) -> Tensor:
    """ΔW (I - U Uᵀ), U the leading eigenvectors of C_r that together hold a share of its trace.

    The projection is that of SAGE (arXiv 2606.18309).

    Args:
        change: ΔW, `[out, in]`, float64.
        retain: C_r, `[in, in]`, float64.
        energy: the share, from 0, which projects nothing, to 1; the fewest eigenvectors that hold it are taken.

    Example:
        >>> retain = torch.diag(torch.tensor([6.0, 3.0, 1.0])).double()
        >>> null_space(torch.ones(1, 3).double(), retain, energy=0.9).abs().tolist()
        [[0.0, 0.0, 1.0]]
    """
    values, vectors = torch.linalg.eigh(retain)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    before = (values.cumsum(0) - values) / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    # Sums of eigenvalues are exact to a few units in the last place only.
    leading = vectors[:, before < energy - 1e-12]
    projected: Tensor = change - (change @ leading) @ leading.T
    return projected


class NullSpace(WeightRepair):
    """Projects each matrix' change off the leading eigenvectors of its retain inputs.

    Args:
        energy: share of the retain inputs' second moment whose eigenvectors are projected off, above 0 and up to 1.
        share: of the change that is kept before the repair, above 0 and up to 1.

    Raises:
        InputError: a number cannot be.
    """

    def __init__(self, energy: float, *, share: float = 1.0) -> None:
        super().__init__(share=share)
        if not 0 < energy <= 1:
            raise InputError(f"NullSpace.energy: must be above 0 and up to 1, got {energy}; try 0.9")
        self.energy = energy

    @property
    def name(self) -> str:
        """Such as `null-space-0.9`."""
        return self.named(f"{self.energy:g}")

    def changed(self, change: Tensor, forget: Tensor, retain: Tensor) -> Tensor:
        """As `null_space`."""
        del forget
        return null_space(change, retain, energy=self.energy)
