"""Text to retain around a question."""

from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets, texts
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.questions.rewording import surrounded


class RetainContext(AskedOtherwise):
    """Puts a sentence of the retain stream before the stem of each question and another after it."""

    random: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """For the card."""
        return "amid retain text"

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """Amid sentences."""
        found = texts(target, "retain")
        return {name: surrounded(asked, found, seed=seed) for name, asked in target.sets.items()}
