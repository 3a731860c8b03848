"""The loss of a stream that is not trained on."""

from torch import Tensor

from lit_unlearn.losses.contract import Batch, Loss, Outputs


class NoLoss(Loss):
    """0 for every row, so that the other stream is trained on alone; for either stream.

    It reads nothing, so its rows run through the layers up to `model.layer` once, without a backward pass: with layer 0
    they cost next to nothing.
    """

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns zeros `[batch]`, without gradient."""
        del frozen, batch
        return updated.hidden.new_zeros(len(updated.hidden))
