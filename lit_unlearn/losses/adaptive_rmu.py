"""Adaptive RMU: RMU whose target grows with the frozen model's states."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn import randomness
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs, PerTopic, counted_states


class AdaptiveRMU(Loss):
    """Steers forget states to β·n·u: mean over tokens and dimensions of (h_updated - β·n·u)².

    n is the mean over the row's tokens of ‖h_frozen‖, u is RMU's unit vector. Dang et al. 2025, "On effects of steering
    latent representation for large language model unlearning".

    Differs from the authors' code: n is computed for each row at each step, so there is no state; theirs freezes it at
    each topic's first batch.

    Args:
        scale: β, one number or one per topic.
        seed: seed of u; None takes the run's.
    """

    stream = "forget"
    needs_frozen: ClassVar[bool] = True

    def __init__(self, scale: float | list[float] = 3.0, seed: int | None = None) -> None:
        super().__init__()
        self.scale = PerTopic(scale)
        self.seed = randomness.run_seed(seed)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert frozen is not None
        length = self.scale(batch["topic"]) * functional.mean_norm(frozen.hidden, counted_states(batch))
        target = length[:, None] * self.steering_vector(batch["topic"], updated.hidden.shape[-1])
        return functional.mean_squared_distance(updated.hidden, target[:, None, :], counted_states(batch))

    def steering_vector(self, topic: Tensor, dim: int) -> Tensor:
        """The vector u of each row's topic, `[batch, dim]`, norm 1."""
        return randomness.uniform_direction(topic, dim, seed=self.seed)
