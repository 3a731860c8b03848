import pytest
import torch
from torch import Tensor

from lit_unlearn import CircuitBreaker, RepresentationNorm
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.layered import LayeredLoss


class Difference(LayeredLoss):
    """The sum over counted tokens and dimensions of h_updated - h_frozen."""

    def of_layer(self, updated: Tensor, frozen: Tensor, mask: Tensor) -> Tensor:
        return ((updated - frozen) * mask[..., None]).sum((1, 2))


def test_is_the_mean_over_the_steering_layer_and_lower_ones(rows: tuple[Outputs, Outputs, Batch]) -> None:
    _, frozen, batch = rows
    states = frozen.hidden
    updated = Outputs(states + 1, None, lower=(states + 2, states + 6))
    found = Difference([0, 1])(updated, frozen._replace(lower=(states, states)), batch)
    tokens = torch.tensor([6.0, 3.0, 1.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(found, tokens * states.shape[-1] * 3)  # the mean of 1, 2 and 6


def test_layers_of_one_model_without_the_other_are_refused(rows: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = rows
    with pytest.raises(ValueError, match="zip"):
        Difference([0])(updated._replace(lower=(updated.hidden,)), frozen, batch)


@pytest.mark.parametrize("loss", [CircuitBreaker, RepresentationNorm])
def test_layers_are_kept_as_a_tuple(loss: type[CircuitBreaker | RepresentationNorm]) -> None:
    assert loss([1, 2]).lower_layers == (1, 2)
    assert loss().lower_layers == ()
    assert loss.needs_frozen
