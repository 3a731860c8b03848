"""A question to forget and one to retain in the same prompt, in both orders."""

from collections.abc import Sequence
from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets, other_side
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.rewording import beside


class BesideQuestion(AskedOtherwise):
    """Asks a question to forget after one to retain, and one to retain after one to forget.

    Jeung et al. 2025, "SEPS" (arXiv 2505.14832), mix queries so. Of the two questions the second is judged: what stands
    first is answered as if it were alone, since attention is causal.

    Args:
        answered: show the first one with its right answer, as an example; else without an answer. Each is a setting.

    Raises:
        InputError: none is given.
    """

    random: ClassVar[bool] = True

    def __init__(self, answered: Sequence[bool] = (True, False)) -> None:
        if not answered:
            raise InputError("BesideQuestion.answered: no form is given; give e.g. [true, false]")
        self.answered = tuple(dict.fromkeys(answered))

    @property
    def title(self) -> str:
        """For the card."""
        return "after a question of the other side"

    def points(self) -> Sequence[Settings]:
        """A point for each form."""
        return [{"answered": answered} for answered in self.answered]

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """After the other one."""
        return {
            name: beside(found, other_side(target, name), seed=seed, answered=settings["answered"])
            for name, found in target.sets.items()
        }
