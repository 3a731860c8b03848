"""What a repair of weights is: it changes what training has done to each matrix."""

from abc import ABC, abstractmethod

from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.runs.shown import Shown


class WeightRepair(Shown, ABC):
    """Changes what training has added to each trained matrix; nothing is trained.

    Args:
        share: of the change that is kept before the repair, as with Interpolation: base + share · (unlearned - base);
            above 0 and up to 1.

    Raises:
        InputError: the share cannot be.
    """

    def __init__(self, *, share: float = 1.0) -> None:
        if not 0 < share <= 1:
            raise InputError(
                f"{type(self).__name__}.share: must be above 0 and up to 1, got {share}; 1 keeps all of the change"
            )
        self.share = share

    @property
    @abstractmethod
    def name(self) -> str:
        """What names it in `results.json`, such as `closed-form-7`."""

    @abstractmethod
    def changed(self, change: Tensor, forget: Tensor, retain: Tensor) -> Tensor:
        """What replaces the change of a matrix.

        Args:
            change: `[out, in]`, unlearned - base, float64.
            forget: `[in, in]`, the mean of x xᵀ over forget tokens, float64.
            retain: the same over retain tokens.
        """

    def named(self, strength: str) -> str:
        """A name made of the class, its strength and the share where not all of the change is kept."""
        words = "".join(f"-{one.lower()}" if one.isupper() else one for one in type(self).__name__).lstrip("-")
        return f"{words}-{strength}" + ("" if self.share == 1 else f"-share-{self.share:g}")
