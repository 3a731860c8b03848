"""Circuit breaker: representation rerouting by cosine."""

from torch import Tensor

from lit_unlearn.losses import functional
from lit_unlearn.losses.layered import LayeredLoss


class CircuitBreaker(LayeredLoss):
    """Turns forget states away from the frozen ones: ReLU(cos(h_updated, h_frozen)), a mean over tokens and layers.

    Zou et al. 2024, "Improving alignment and robustness with circuit breakers", arXiv 2406.04313, where it is called
    representation rerouting; its retain loss is `RepresentationNorm`, its schedule the callback `RetainSchedule`. The
    paper reads layers 10 and 20 of models with 32: `model.layer: 20` and `lower_layers: [10]`.

    Before training the cosine is 1, where its gradient is 0 except for rounding: the first step follows rounding unless
    noise on the retain stream or dropout moves the states. AdamW, which divides by the gradient's size, takes full ones
    from then on.

    Differs from the authors' method: the mean is taken per row and then over rows; padding never counts.

    Args:
        lower_layers: indices of further layers that are read, below the steering layer and from the first trained one
            on.
    """

    stream = "forget"

    def of_layer(self, updated: Tensor, frozen: Tensor, mask: Tensor) -> Tensor:
        """Returns `[batch]`."""
        return functional.mean_positive_cosine(updated, frozen, mask)
