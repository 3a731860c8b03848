"""Second moments of what a matrix is given."""

import torch
from torch import Tensor

from lit_unlearn.errors import InputError


class SecondMoment:
    """Sum of x xᵀ over counted tokens, in float64, however the rows are batched.

    Args:
        width: of the inputs.
        device: where it is summed.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        # float64 is not available on MPS.
        place = torch.device("cpu") if device.type == "mps" else device
        self.total = torch.zeros(width, width, dtype=torch.float64, device=place)
        self.tokens = torch.zeros((), dtype=torch.float64, device=place)

    def add(self, inputs: Tensor, counted: Tensor) -> None:
        """Adds a batch.

        Args:
            inputs: `[batch, seq, width]`.
            counted: `[batch, seq]`, 1 or True where a token counts.
        """
        rows = inputs.detach()[counted.bool()].to(self.total.device, torch.float64)
        self.total += rows.T @ rows
        self.tokens += len(rows)

    def mean(self) -> Tensor:
        """The mean of x xᵀ per token, `[width, width]`.

        Raises:
            InputError: no token was counted.

        Example:
            >>> moment = SecondMoment(2, torch.device("cpu"))
            >>> moment.add(torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]]))
            >>> moment.mean().tolist()
            [[0.5, 0.0], [0.0, 2.0]]
        """
        if not self.tokens:
            raise InputError(
                "Repairs: no token of the rows counts; raise `rows`, or give rows that are not all inserted tokens"
            )
        return self.total / self.tokens
