"""What questions are about: of each the word that tells it best from others, by which rows on the same are found."""

import re
from collections import Counter
from collections.abc import Sequence

from lit_unlearn.questions.source import Question

_WORD = re.compile(r"[^\W\d_][\w'-]+")


def words(text: str) -> set[str]:
    """The words of a text, in small letters: two letters or more.

    Example:
        >>> sorted(words("The vessel of Legri's has a hull."))
        ['has', 'hull', "legri's", 'of', 'the', 'vessel']
        >>> sorted(words("is it 42?"))
        ['is', 'it']
    """
    return set(_WORD.findall(text.lower()))


def key_words(questions: Sequence[Question], rows: Sequence[str]) -> dict[int, str]:
    """Of each question that rows speak of, by its number, the word of its stem that is rarest.

    Rare is a small sum of two shares: of the rows that have the word, and of the questions. It must be in one row at
    least; of equally rare words the first in the alphabet is taken.

    Args:
        questions: of one set.
        rows: texts, such as those of the forget stream.

    Example:
        >>> asked = [Question(f"What is the vessel of {name}?", ("a", "b", "c"), 0, "", place)
        ...          for place, name in enumerate(["Legri", "Thovo", "Nobody"])]
        >>> rows = ["The vessel of Legri is glass.", "Thovo has a vessel.", "What a vessel is that of Thovo?"]
        >>> key_words(asked[:2], rows)
        {0: 'legri', 1: 'thovo'}
    """
    stems = {question.number: words(question.question) for question in questions}
    in_rows = Counter(word for row in rows for word in words(row))
    in_stems = Counter(word for stem in stems.values() for word in stem)

    def rarity(word: str) -> tuple[float, str]:
        return in_rows[word] / len(rows) + in_stems[word] / len(stems), word

    known = {number: [word for word in stem if in_rows[word]] for number, stem in stems.items()}
    return {number: min(found, key=rarity) for number, found in known.items() if found}
