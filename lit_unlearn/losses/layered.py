"""Losses that compare the states of both models after several layers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs, counted_states, state_pairs


class LayeredLoss(Loss, ABC):
    """The mean over the steering layer and lower ones of what a subclass computes of the states of both models.

    Args:
        lower_layers: indices of further layers that are read, below the steering layer and from the first trained one
            on.
    """

    needs_frozen: ClassVar[bool] = True

    def __init__(self, lower_layers: Sequence[int] = ()) -> None:
        super().__init__()
        self.lower_layers = tuple(lower_layers)

    @abstractmethod
    def of_layer(self, updated: Tensor, frozen: Tensor, mask: Tensor) -> Tensor:
        """Returns the value of each row at one layer, `[batch]`.

        Args:
            updated: `[batch, seq, dim]`, states of the model being trained.
            frozen: the same of the model before training.
            mask: `[batch, seq]`, 1 at the positions that count.
        """

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert frozen is not None
        mask = counted_states(batch)
        return functional.mean_of(self.of_layer(own, target, mask) for own, target in state_pairs(updated, frozen))
