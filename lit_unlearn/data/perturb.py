"""Perturbed questions: one wrong option gives way to a text; the answer stays.

A draw is a pure function of the seed and the question's number: the same for any order, batch and process. Which option
gives way does not depend on the text, so that perturbed and control questions of one seed differ in the text alone.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.questions import Question
from lit_unlearn.errors import InputError

Perturbation = Callable[[Question], Question]
_ATTEMPTS = 200
_BEFORE = "A."
"""What stands before an option; tokenizers treat a word after it, and after its space, in their own ways."""


@dataclass(frozen=True)
class ReplaceOption:
    """Replaces one uniformly drawn wrong option by one of the given texts, such as a forget token.

    Raises:
        InputError: no text, or an empty one.

    Example:
        >>> question = Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0)
        >>> ReplaceOption(("SARS-CoV-2",), seed=1)(question).choices
        ('SARS-CoV-2', '2', '3', '4')
    """

    texts: tuple[str, ...]
    """Drawn from uniformly."""
    seed: int = 0
    """Seed of both draws: the option and the text."""

    def __post_init__(self) -> None:
        if not self.texts or not all(text.strip() for text in self.texts):
            raise InputError(f"perturbation.texts: {list(self.texts)} has nothing to put in; give at least one text")

    def __call__(self, question: Question) -> Question:
        """The question with one wrong option replaced."""
        return replace_wrong(question, self.text(question.number), seed=self.seed)

    def text(self, number: int) -> str:
        """The text that goes into the question of this number."""
        return self.texts[_draw(len(self.texts), "text", self.seed, number)]


@dataclass(frozen=True, eq=False)
class NGram:
    """Replaces one uniformly drawn wrong option by a random n-gram of a corpus: the forget stream's, or a control's.

    An n-gram is n tokens of the tokenizer that begin with a word of the corpus, as text without spaces around it. Text
    and word are drawn uniformly, until in an option the n-gram is exactly those n tokens again: forget and control
    n-grams of the same n are equally long. The n-grams of one seed begin alike whatever n is.

    Raises:
        InputError: n is below 1, there are no texts, or none of many draws has n such tokens.
    """

    texts: Sequence[str] = field(repr=False)
    """The corpus, one text per row."""
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    """The model's."""
    n: int
    """Tokens of an n-gram."""
    seed: int = 0
    """Seed of the draws: option, text and place."""

    def __post_init__(self) -> None:
        if self.n < 1 or not len(self.texts):
            raise InputError(f"perturbation.n: {self.n} tokens of {len(self.texts)} texts; give 1 or more of each")

    def __call__(self, question: Question) -> Question:
        """The question with one wrong option replaced."""
        return replace_wrong(question, self.text(question.number), seed=self.seed)

    def text(self, number: int) -> str:
        """The n-gram that goes into the question of this number."""
        for attempt in range(_ATTEMPTS):
            row = self.texts[_draw(len(self.texts), "row", self.seed, number, attempt)]
            words = row.split()
            start = _draw(len(words), "word", self.seed, number, attempt)
            text = self._first_tokens(" ".join(words[start : start + self.n]))
            if text:
                return text
        raise InputError(
            f"perturbation.n: none of {_ATTEMPTS} places in the texts begins an n-gram of {self.n} tokens; lower n or "
            "give longer texts"
        )

    def _first_tokens(self, words: str) -> str:
        """The text of the first n tokens; empty where it would not be the same n tokens again."""
        ids = _tokens(words, self.tokenizer)[: self.n]
        if len(ids) < self.n or set(ids) & set(self.tokenizer.all_special_ids):
            return ""
        text = str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)).strip()
        return text if _tokens(text, self.tokenizer) == ids else ""


@dataclass(frozen=True, eq=False)
class Control:
    """Replaces the option that another perturbation does, by a random n-gram of as many tokens of other text."""

    perturbation: ReplaceOption | NGram
    """What it is the control of; its seed is the control's too."""
    texts: Sequence[str] = field(repr=False)
    """The other text, one per row: the retain stream's."""
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    """The model's."""

    def __call__(self, question: Question) -> Question:
        """The question with one wrong option replaced."""
        n = len(_tokens(self.perturbation.text(question.number), self.tokenizer))
        return NGram(self.texts, self.tokenizer, n, seed=self.perturbation.seed)(question)


def replace_wrong(question: Question, text: str, *, seed: int) -> Question:
    """The question with a text in the place of one uniformly drawn wrong option."""
    wrong = [index for index in range(len(question.choices)) if index != question.answer]
    drawn = wrong[_draw(len(wrong), "option", seed, question.number)]
    a, b, c, d = (text if index == drawn else choice for index, choice in enumerate(question.choices))
    return replace(question, choices=(a, b, c, d))


def _tokens(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens of a text where an option stands."""
    before, whole = tokenizer([_BEFORE, f"{_BEFORE} {text}"], add_special_tokens=False)["input_ids"]
    return list(whole[len(before) :])


def _draw(count: int, *key: str | int) -> int:
    """A uniform number below `count`, 0 where there is none, as a function of the key alone."""
    # random() is the one method whose sequence Python promises never to change.
    return int(random.Random(" ".join(map(str, key))).random() * count)
