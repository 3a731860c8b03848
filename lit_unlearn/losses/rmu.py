"""RMU: representation misdirection for unlearning."""

from torch import Tensor

from lit_unlearn import randomness
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs, counted_states
from lit_unlearn.losses.units import Length, Unit


class RMU(Loss):
    """Steers forget states to a fixed random vector: mean over tokens and dimensions of (h_updated - c·u)².

    Li et al. 2024, "The WMDP benchmark: measuring and reducing malicious use with unlearning". u is a unit vector with
    entries from U(0, 1), one per topic, a pure function of (dim, topic, seed).

    Differs from the authors' code: padding never counts, the mean is taken per row, and u needs no state to resume.

    Args:
        coefficient: c, the length of the target, one number or one per topic.
        unit: of c: `absolute`, as published, or `norm`: mean norms of the frozen model's retain states after the
            steering layer, each row's first token left out, measured on the first rows before training.
        seed: seed of u; None takes the run's.
    """

    stream = "forget"

    def __init__(
        self, coefficient: float | list[float] = 6.5, unit: Unit = "absolute", seed: int | None = None
    ) -> None:
        super().__init__()
        self.coefficient = Length(coefficient, unit)
        self.seed = randomness.run_seed(seed)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`; `frozen` is not read."""
        del frozen
        target = self.target(batch["topic"], updated.hidden.shape[-1])
        return functional.mean_squared_distance(updated.hidden, target, counted_states(batch))

    def target(self, topic: Tensor, dim: int) -> Tensor:
        """c·u of each row's topic, `[batch, 1, dim]`."""
        length: Tensor = self.coefficient(topic)
        return (length[:, None] * self.steering_vector(topic, dim))[:, None, :]

    def steering_vector(self, topic: Tensor, dim: int) -> Tensor:
        """The vector u of each row's topic, `[batch, dim]`, norm 1."""
        return randomness.uniform_direction(topic, dim, seed=self.seed)
