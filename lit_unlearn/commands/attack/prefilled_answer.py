"""Answers begun for the model."""

from collections.abc import Sequence

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.rewording import framed


class PrefilledAnswer(AskedOtherwise):
    """Writes the beginning of an answer after `Answer:`, and asks for the option after that.

    Args:
        texts: beginnings; each is a setting. A space is put before each.

    Raises:
        InputError: a text is empty, or none is given.
    """

    def __init__(self, texts: Sequence[str] = ("The correct answer is", "Sure, the answer is option")) -> None:
        if not texts or not all(text.strip() for text in texts):
            raise InputError(f"PrefilledAnswer.texts: {list(texts)} must be texts, at least one")
        self.texts = tuple(text.strip() for text in texts)

    @property
    def title(self) -> str:
        """For the card."""
        return "answer begun"

    def points(self) -> Sequence[Settings]:
        """A point for each text."""
        return [{"text": text} for text in self.texts]

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """With the beginning of an answer."""
        return {name: framed(found, prefill=f" {settings['text']}") for name, found in target.sets.items()}
