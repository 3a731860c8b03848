"""RSV: a random steering vector added to the frozen model's states."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn import randomness
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs, counted_states
from lit_unlearn.losses.units import Length, Unit


class RSV(Loss):
    """Pushes forget states away by a fixed vector: mean over tokens and dimensions of (h_updated - (h_frozen + c·ε))².

    ε is a Gaussian vector of norm 1, one per topic, a pure function of (dim, topic, seed). From the paper that
    introduces Random Noise Augmentation.

    Differs from the authors' code: padding never counts, and ε needs no state to resume.

    Args:
        coefficient: c, the length of the shift, one number or one per topic.
        unit: of c: `absolute`, as published, or `norm`: mean norms of the frozen model's retain states after the
            steering layer, each row's first token left out, measured on the first rows before training.
        seed: seed of ε; None takes the run's.
    """

    stream = "forget"
    needs_frozen: ClassVar[bool] = True

    def __init__(
        self, coefficient: float | list[float] = 10.0, unit: Unit = "absolute", seed: int | None = None
    ) -> None:
        super().__init__()
        self.coefficient = Length(coefficient, unit)
        self.seed = randomness.run_seed(seed)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`."""
        assert frozen is not None
        shift = self.coefficient(batch["topic"])[:, None] * self.steering_vector(
            batch["topic"], updated.hidden.shape[-1]
        )
        target = functional.precise(frozen.hidden) + shift[:, None, :]
        return functional.mean_squared_distance(updated.hidden, target, counted_states(batch))

    def steering_vector(self, topic: Tensor, dim: int) -> Tensor:
        """The vector ε of each row's topic, `[batch, dim]`, norm 1."""
        return randomness.gaussian_direction(topic, dim, seed=self.seed)
