"""Questions after examples of their own kind."""

from collections.abc import Sequence
from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.rewording import with_examples


class FewShot(AskedOtherwise):
    """Shows other questions of the same set with their answers first, none of which has the asked one's right answer.

    Lynch et al. 2024, "Eight methods to evaluate robust unlearning in LLMs" (arXiv 2402.16835), attack so.

    Args:
        shots: examples before a question; each is a setting.

    Raises:
        InputError: a number is below 1, or none is given.
    """

    random: ClassVar[bool] = True

    def __init__(self, shots: Sequence[int] = (1, 5)) -> None:
        if not shots or min(shots) < 1:
            raise InputError(f"FewShot.shots: {list(shots)} must be at least 1 each; give e.g. [1, 5]")
        self.shots = tuple(shots)

    @property
    def title(self) -> str:
        """Such as `1, 5 examples of its set`."""
        return f"{', '.join(map(str, self.shots))} examples of its set"

    def points(self) -> Sequence[Settings]:
        """A point for each number."""
        return [{"shots": shots} for shots in self.shots]

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """With examples."""
        shots = settings["shots"]
        return {name: with_examples(found, found, shots=shots, seed=seed) for name, found in target.sets.items()}
