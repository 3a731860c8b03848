"""Options in the model's own units: lengths in mean norms of its hidden states."""

from typing import Literal

from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import PerTopic

Unit = Literal["absolute", "norm"]


class Length(PerTopic):
    """The length of a vector that is added to hidden states or that they are steered to, for each topic.

    Args:
        values: one number for all topics, or a list with one for each.
        unit: `absolute`, or `norm`: in mean norms of the frozen model's retain states after the steering layer, each
            row's first token left out, which the module measures before training.

    Raises:
        InputError: there is no such unit.
    """

    def __init__(self, values: float | list[float], unit: Unit) -> None:
        super().__init__(values)
        if unit not in ("absolute", "norm"):
            raise InputError(f"model.forget.unit: {unit!r} is not a unit; take 'absolute' or 'norm'")
        self.unit = unit
        self.norm: float | None = None
        """The mean norm; None until it is measured."""

    @property
    def shown(self) -> str:
        """As a model card shows it.

        Example:
            >>> Length(2.0, "norm").shown
            '2.0 norms'
        """
        return super().shown if self.unit == "absolute" else f"{super().shown} norms"

    def forward(self, topic: Tensor) -> Tensor:
        """The length for each row, float32 `[batch]`; NaN for a topic that has none.

        Raises:
            InputError: the unit has not been measured.
        """
        if self.unit == "absolute":
            return super().forward(topic)
        if self.norm is None:
            raise InputError(
                "model.forget.unit: a length in norms of the hidden states is known once these are measured, which "
                "UnlearnModule does at the start of a fit; set unit to absolute, or fit"
            )
        return self.norm * super().forward(topic)
