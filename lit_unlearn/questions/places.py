"""Where texts go in a question: a wrong option, the stem, a line before it. The answer stays."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from lit_unlearn.data.draws import sample
from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.inserts import Around
from lit_unlearn.questions.source import Question


class Place(Protocol):
    """Puts texts into a question. Where does not depend on the texts, so that a control's go to the same place."""

    around: ClassVar[Around]
    """What stands around a text there."""
    most: ClassVar[int | None]
    """How many texts it takes at once, whatever the question; None is any number."""

    def put(self, question: Question, texts: Sequence[str], *, seed: int) -> Question:
        """The question with the texts in it."""


@dataclass(frozen=True)
class Option:
    """Each text replaces a wrong option of its own, drawn uniformly.

    Example:
        >>> question = Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0)
        >>> Option().put(question, ["SARS-CoV-2"], seed=1).choices
        ('SARS-CoV-2', '2', '3', '4')
    """

    around: ClassVar[Around] = Around("A. ", "\nA")
    most: ClassVar[int | None] = len(LETTERS) - 1

    def put(self, question: Question, texts: Sequence[str], *, seed: int) -> Question:
        """The question with wrong options replaced.

        Raises:
            InputError: it has fewer wrong options than there are texts.
        """
        wrong = [index for index in range(len(question.choices)) if index != question.answer]
        if len(texts) > len(wrong):
            raise InputError(
                f"perturbation.count: {len(texts)} texts at once cannot go to position 'option' of question "
                f"{question.number}, which has {len(wrong)} wrong options; give 1 to {len(wrong)}"
            )
        new = dict(zip(sample(wrong, len(texts), "option", seed, question.number), texts, strict=True))
        choices = tuple(new.get(index, choice) for index, choice in enumerate(question.choices))
        return replace(question, choices=choices)


@dataclass(frozen=True)
class Stem:
    """Each text stands after a uniformly drawn word of the stem, after different ones where there are as many.

    The last word of a line is drawn only from a stem that has no other.

    Example:
        >>> question = Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0)
        >>> Stem().put(question, ["SARS-CoV-2"], seed=1).question
        'Half of SARS-CoV-2 4?'
    """

    around: ClassVar[Around] = Around("A ", " A")
    most: ClassVar[int | None] = None

    def put(self, question: Question, texts: Sequence[str], *, seed: int) -> Question:
        """The question with texts in its stem, the rest of which keeps its lines and spaces."""
        stem = question.question
        # Before a line's end some tokenizers would count a text's last sign in another way.
        ends = _ends(r"\S+(?=[^\S\n]+\S)", stem) or _ends(r"\S+", stem)
        drawn = zip(sample(ends, len(texts), "stem", seed, question.number), texts, strict=True)
        # From the end, so that the places before stay where they are.
        for end, text in sorted(drawn, key=lambda pair: -pair[0]):
            stem = f"{stem[:end]} {text}{stem[end:]}"
        return replace(question, question=stem)


@dataclass(frozen=True)
class Prefix:
    """Each text stands on a line of its own before the question, after the prompt's first line.

    Example:
        >>> question = Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0)
        >>> print(Prefix().put(question, ["SARS-CoV-2 is a virus."], seed=1).question)
        SARS-CoV-2 is a virus.
        Half of 4?
    """

    around: ClassVar[Around] = Around("A\n", "\nA")
    most: ClassVar[int | None] = None

    def put(self, question: Question, texts: Sequence[str], *, seed: int) -> Question:
        """The question after the texts."""
        del seed
        return replace(question, question="\n".join([*texts, question.question.strip()]))


def check_count(place: Place, count: int) -> None:
    """Checks that a place takes `count` texts at once.

    Raises:
        InputError: it does not.
    """
    if count < 1 or (place.most is not None and count > place.most):
        upto = "1 or more" if place.most is None else f"1 to {place.most}"
        name = type(place).__name__.lower()
        raise InputError(f"perturbation.count: {count} texts at once cannot go to position {name!r}; give {upto}")


def _ends(pattern: str, text: str) -> list[int]:
    return [found.end() for found in re.finditer(pattern, text)]
