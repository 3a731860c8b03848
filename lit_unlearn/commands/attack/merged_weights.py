"""The unlearned model merged with the one before it."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch

from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError


class MergedWeights(Attack):
    """Takes base + t · (unlearned - base) in all weights, as merging two checkpoints linearly does.

    Args:
        shares: values of t, each a setting; 0.5 is half-way back.

    Raises:
        InputError: a share is not between 0 and 1, or none is given.
    """

    needs_base: ClassVar[bool] = True

    def __init__(self, shares: Sequence[float] = (0.5,)) -> None:
        wrong = [share for share in shares if not 0 < share < 1]
        if wrong or not shares:
            raise InputError(f"MergedWeights.shares: {wrong or shares} must be between 0 and 1; give e.g. [0.5]")
        self.shares = tuple(shares)

    @property
    def title(self) -> str:
        """Such as `merged with the base, t 0.5`."""
        return f"merged with the base, t {', '.join(f'{share:g}' for share in self.shares)}"

    def points(self) -> Sequence[Settings]:
        """A point for each share."""
        return [{"t": share} for share in self.shares]

    def cost(self, settings: Settings) -> Cost:
        """Two models are read."""
        del settings
        return Cost(loads=2)

    @torch.no_grad()
    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Merges and evaluates.

        Raises:
            InputError: the two models do not have the same weights by name and shape.
        """
        model, base = target.load(), dict(target.load_base().named_parameters())
        own = dict(model.named_parameters())
        if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in base.items()}:
            raise InputError(
                f"attack: the weights of {target.source.given} are not those of the model before unlearning by name "
                "and shape; give the right one after --base"
            )
        for name, weight in own.items():
            weight.copy_(torch.lerp(base[name].float(), weight.float(), settings["t"]))
        yield Outcome(settings, target.evaluate(model))
