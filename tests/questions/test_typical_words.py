import math

from lit_unlearn.data.ngrams import WordRow
from lit_unlearn.questions.typical_words import typical_words

IDS: dict[str, int] = {}


def row(text: str) -> WordRow:
    """A token for each word, but two for one with a hyphen, whose second begins none."""
    pieces = [piece for word in text.split() for piece in (word.split("-") if word != "-" else [word])]
    begins = [place for word in text.split() for place in ([1] if "-" not in word else [1, 0])]
    ids = [IDS.setdefault(piece, len(IDS)) for piece in pieces]
    return WordRow(ids, [begin * (len(ids) - place) for place, begin in enumerate(begins)], pieces)


def test_words_are_ranked_by_how_many_more_rows_have_them() -> None:
    own = [row("the sea calm"), row("the sea cold"), row("the sea calm"), row("the end .")]
    others = [row("the end ."), row("the calm"), row("the end"), row("the")]
    found = typical_words(own, others)
    # sea: in 3 rows and in none; calm: in 2 and in 1; the, end, `.` are no more frequent; cold is in one row.
    assert found == [(IDS["sea"],), (IDS["calm"],)]


def test_the_weight_is_that_of_the_formula() -> None:
    own = [row("a b"), row("a b"), row("a"), row("a")]
    others = [row("b"), row("a"), row("c"), row("c")]

    def weight(count: int, against: int) -> float:
        p, q = (count + 0.5) / 5, (against + 0.5) / 5
        return p * math.log(p / q)

    assert weight(4, 1) > weight(2, 1) > 0
    assert typical_words(own, others) == [(IDS["a"],), (IDS["b"],)]


def test_a_word_of_several_tokens_is_one_word() -> None:
    rows = [row("sea-horse swims"), row("sea-horse"), row("sea")]
    found = typical_words(rows, [row("sea"), row("swims"), row("other")])
    assert (IDS["sea"], IDS["horse"]) in found
    assert (IDS["sea"],) not in found  # in one row only


def test_signs_and_numbers_are_no_words() -> None:
    rows = [row("1987 . calm")] * 3
    assert typical_words(rows, [row("other")] * 3) == [(IDS["calm"],)]
