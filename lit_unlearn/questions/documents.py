"""For each question a passage of a corpus that holds its answer, as a reader would be given it."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from lit_unlearn.errors import InputError
from lit_unlearn.questions.source import Question


class Documents:
    """Passages of a corpus.

    The passage of a question is of the row that shares most with its stem, words weighed by how rare they are (inverse
    document frequency, Sparck Jones 1972), among those that hold the right option's text and the stem's rarest word.

    Args:
        texts: the corpus, one text per row.
        words: of a passage at most, around the right option's text.

    Raises:
        InputError: no texts, or fewer than 1 word.
    """

    def __init__(self, texts: Sequence[str], *, words: int = 100) -> None:
        if not len(texts) or words < 1:
            raise InputError(f"documents: {words} words of {len(texts)} texts; give 1 or more of each")
        self.texts = texts
        self.words = words
        self._rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            for word in dict.fromkeys(_words(text)):
                self._rows.setdefault(word, []).append(row)

    def passage(self, question: Question) -> str | None:
        """The passage that answers a question; None where no row does."""
        answer, stem = _words(question.choices[question.answer]), set(_words(question.question))
        known = sorted((word for word in stem if word in self._rows), key=lambda word: (len(self._rows[word]), word))
        if not answer or not known:
            return None
        candidates = set(self._rows[known[0]]).intersection(*(self._rows.get(word, []) for word in answer))
        for row in sorted(candidates, key=lambda row: (-self._shared(row, known), row)):
            place = _place(_words(self.texts[row]), answer)
            if place is not None:
                return _around(self.texts[row], place, len(answer), self.words)
        return None

    def beside(self, questions: Sequence[Question]) -> list[Question]:
        """The questions that have a passage, each on a line after it; the others are left out."""
        found = [(question, self.passage(question)) for question in questions]
        return [
            replace(question, question=f"{passage}\n{question.question.strip()}")
            for question, passage in found
            if passage
        ]

    def _shared(self, row: int, words: Sequence[str]) -> float:
        """The weight of the words that a row has."""
        own = set(_words(self.texts[row]))
        return sum(math.log(1 + len(self.texts) / len(self._rows[word])) for word in words if word in own)


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"\w+", text)]


def _place(words: Sequence[str], answer: Sequence[str]) -> int | None:
    """Where the answer stands among the words."""
    places = range(len(words) - len(answer) + 1)
    return next((place for place in places if [*words[place : place + len(answer)]] == [*answer]), None)


def _around(text: str, place: int, count: int, words: int) -> str:
    """At most `words` words of a text around `count` of them from `place` on, with the signs between them."""
    spans = [found.span() for found in re.finditer(r"\w+", text)]
    start = max(0, min(place - max(0, words - count) // 2, len(spans) - words))
    end = min(len(spans), start + max(words, count))
    last = len(text) if end == len(spans) else spans[end - 1][1]
    return text[0 if start == 0 else spans[start][0] : last].strip()
