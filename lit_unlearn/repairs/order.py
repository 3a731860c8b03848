"""Repairs matrix after matrix, each with the inputs that the model repaired so far gives it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from lit_unlearn.repairs.contract import WeightRepair
from lit_unlearn.repairs.matrices import Matrix

Moments = Callable[[Matrix], tuple[Tensor, Tensor]]
"""The second moments `[in, in]` of a matrix' forget and retain inputs in the model as it is, a mean per token each."""


def apply(repair: WeightRepair, groups: Sequence[Sequence[Matrix]], moments: Moments) -> None:
    """Repairs a model in place.

    Args:
        repair: what is done to each change.
        groups: in the order of the forward; those of a group are given the same inputs.
        moments: runs the model.
    """
    for group in groups:
        for matrix in group:
            matrix.put(repair.share * matrix.change())
    for group in groups:
        forget, retain = moments(group[0])
        for matrix in group:
            matrix.put(repair.changed(matrix.change(), forget, retain))
