"""The model as it is, with which every attack is compared."""

from collections.abc import Iterable
from typing import ClassVar

from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target


class Unattacked(Attack):
    """Changes nothing."""

    @property
    def title(self) -> str:
        """For the card."""
        return "no attack"

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Evaluates."""
        yield Outcome(settings, target.evaluate(target.load()))


class BeforeUnlearning(Attack):
    """The model before unlearning, unchanged."""

    needs_base: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """For the card."""
        return "before unlearning"

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Evaluates."""
        yield Outcome(settings, target.evaluate(target.load_base()))
