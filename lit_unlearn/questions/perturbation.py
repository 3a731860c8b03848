"""Perturbed questions: texts of a kind (`inserts`) go to a place (`places`); the answer stays.

A draw is a pure function of the seed and the question's number: the same for any order, batch and process. Where the
texts go does not depend on them, so that perturbed and control questions of one seed differ in the texts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from lit_unlearn.questions.inserts import Inserts, draw_ngrams, token_ids
from lit_unlearn.questions.places import Option, Place, check_count
from lit_unlearn.questions.source import Question


@dataclass(frozen=True)
class Perturbation:
    """Puts drawn texts into a question.

    Raises:
        InputError: the place does not take that number of texts.

    Example:
        >>> from lit_unlearn.questions.inserts import GivenText
        >>> question = Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0)
        >>> Perturbation(GivenText(("SARS-CoV-2",)), seed=1)(question).choices
        ('SARS-CoV-2', '2', '3', '4')
    """

    inserts: Inserts
    """Which texts."""
    place: Place = field(default_factory=Option)
    """Where they go."""
    count: int = 1
    """How many at once."""
    seed: int = 0
    """Seed of both draws: the texts and where they go."""

    def __post_init__(self) -> None:
        check_count(self.place, self.count)

    def __call__(self, question: Question) -> Question:
        """The perturbed question."""
        return self.place.put(question, self.drawn(question.number), seed=self.seed)

    def drawn(self, number: int) -> list[str]:
        """What goes into the question of this number."""
        return self.inserts.draw(number, self.count, seed=self.seed, around=self.place.around)


@dataclass(frozen=True, eq=False)
class Control:
    """Puts random n-grams of other text where another perturbation puts its texts, each of as many tokens."""

    perturbation: Perturbation
    """What it is the control of; its seed is the control's too."""
    texts: Sequence[str] = field(repr=False)
    """The other text, one per row: the retain stream's."""
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    """The model's."""

    def __call__(self, question: Question) -> Question:
        """The control question."""
        return self.perturbation.place.put(question, self.drawn(question.number), seed=self.perturbation.seed)

    def drawn(self, number: int) -> list[str]:
        """What goes into the question of this number."""
        seed, around = self.perturbation.seed, self.perturbation.place.around
        answered = self.perturbation.drawn(number)
        lengths = [len(token_ids(text, self.tokenizer, around=around)) for text in answered]
        return draw_ngrams(self.texts, self.tokenizer, lengths, number=number, seed=seed, around=around)
