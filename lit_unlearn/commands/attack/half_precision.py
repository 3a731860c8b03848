"""Weights in another floating-point format."""

from collections.abc import Iterable

import torch

from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import Diverged


class HalfPrecision(Attack):
    """Rounds all weights to bf16 and then to float16, as who converts a bf16 checkpoint for an older GPU does.

    What float16 rounds in activations is not part of it: the model runs in the config's precision. Weights beyond
    float16's range, 65,504, make the model fail, and those below 6e-8 become 0.
    """

    @property
    def title(self) -> str:
        """For the card."""
        return "bf16 to fp16"

    @torch.no_grad()
    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Converts and evaluates.

        Raises:
            Diverged: a weight is beyond float16's range.
        """
        model = target.load()
        for name, weight in model.named_parameters():
            converted = weight.to(torch.bfloat16).to(torch.float16)
            if not converted.isfinite().all():
                raise Diverged(f"{name} has values beyond float16's range of ±65504")
            weight.copy_(converted)
        yield Outcome(settings, target.evaluate(model))
