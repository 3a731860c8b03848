"""Weights rounded, as by everyone who runs a model in 8 or 4 bits."""

from collections.abc import Iterable
from typing import Literal

import torch

from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.rounding import projections, round_integers, round_nf4


class RoundedWeights(Attack):
    """Rounds the weights of the linear modules of all decoder layers; activations stay as they are.

    Zhang et al. 2024, "Catastrophic failure of LLM unlearning via quantization".

    Args:
        bits: of each weight; 4 with `kind` nf4.
        kind: `integer`, round to nearest on symmetric levels, or `nf4`, bitsandbytes' NormalFloat4.
        group: consecutive weights with one scale.

    Raises:
        InputError: an option cannot be used.
    """

    def __init__(self, bits: int = 8, *, kind: Literal["integer", "nf4"] = "integer", group: int = 32) -> None:
        if not 2 <= bits <= 16:
            raise InputError(f"RoundedWeights.bits: {bits} must be between 2 and 16")
        if kind == "nf4" and bits != 4:
            raise InputError(f"RoundedWeights.bits: {bits} with kind nf4, which has 4; give bits: 4")
        if group < 1:
            raise InputError(f"RoundedWeights.group: {group} must be 1 or more")
        self.bits, self.kind, self.group = bits, kind, group

    @property
    def title(self) -> str:
        """Such as `INT8, groups of 32`."""
        return f"NF4, blocks of {self.group}" if self.kind == "nf4" else f"INT{self.bits}, groups of {self.group}"

    @torch.no_grad()
    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Rounds and evaluates."""
        model = target.load()
        for _, weight in projections(decoder_layers(model)):
            weight.copy_(
                round_nf4(weight, block=self.group)
                if self.kind == "nf4"
                else round_integers(weight, bits=self.bits, group=self.group)
            )
        yield Outcome(settings, target.evaluate(model))
