"""Small weights set to 0."""

from collections.abc import Iterable, Sequence

import torch
from torch.nn.utils.prune import L1Unstructured

from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.rounding import projections


class PrunedWeights(Attack):
    """Sets the smallest weights of each linear module of all decoder layers to 0, by absolute value, unstructured.

    Args:
        shares: of each matrix's weights; each is a setting.

    Raises:
        InputError: a share is not between 0 and 1, or none is given.
    """

    def __init__(self, shares: Sequence[float] = (0.1, 0.3)) -> None:
        wrong = [share for share in shares if not 0 < share < 1]
        if wrong or not shares:
            raise InputError(f"PrunedWeights.shares: {wrong or shares} must be between 0 and 1; give e.g. [0.1, 0.3]")
        self.shares = tuple(shares)

    @property
    def title(self) -> str:
        """Such as `pruning 10, 30 %`."""
        return f"pruning {', '.join(f'{100 * share:g}' for share in self.shares)} %"

    def points(self) -> Sequence[Settings]:
        """A point for each share."""
        return [{"share": share} for share in self.shares]

    @torch.no_grad()
    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Prunes and evaluates."""
        model = target.load()
        prune = L1Unstructured(amount=settings["share"])
        for _, weight in projections(decoder_layers(model)):
            weight.mul_(prune.compute_mask(weight.float(), torch.ones_like(weight)))
        yield Outcome(settings, target.evaluate(model))
