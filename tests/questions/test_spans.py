import pytest

from lit_unlearn import InputError
from lit_unlearn.data.ngrams import WordRow
from lit_unlearn.questions.spans import SpanSource, Words


def row(text: str, *, first: int = 0, special: int = 0) -> WordRow:
    """A token for each word; so many special ones at the beginning."""
    words = text.split()
    ids = [*range(first, first + special + len(words))]
    room = [0] * special + [len(words) - place for place in range(len(words))]
    return WordRow(ids, room, [""] * special + words)


def test_an_ngram_begins_with_a_word_that_is_not_the_rows_first() -> None:
    source = SpanSource("forget", [[row("a b c d e", special=1)]])
    drawn = {tuple(source.ngram(2, "key", number)) for number in range(100)}
    assert drawn == {(2, 3), (3, 4), (4, 5)}


def test_streams_are_drawn_from_equally_often() -> None:
    source = SpanSource("forget", [[row("a b c")] * 9, [row("d e f", first=100)]])
    others = sum(source.ngram(1, number)[0] >= 100 for number in range(1000))
    assert 420 < others < 580


def test_only_rows_that_are_long_enough_are_drawn_from() -> None:
    source = SpanSource("forget", [[row("a b c"), row("d e f g h", first=10)]])
    assert {tuple(source.ngram(4, number)) for number in range(20)} == {(11, 12, 13, 14)}
    with pytest.raises(InputError, match=r"spans: no row of forget has 5 tokens together; lower the number"):
        source.ngram(5, 0)


def test_a_sentence_is_whole_and_not_a_rows_first() -> None:
    text = "One two . It has six tokens here . Short . It has seven tokens , these . rest"
    source = SpanSource("forget", [[row(text)]])
    words = text.split()
    drawn = {" ".join(words[place] for place in source.sentence(number)) for number in range(50)}
    assert drawn == {"It has six tokens here .", "It has seven tokens , these ."}
    beginnings = {words[source.beginning(3, number)[0]] for number in range(50)}
    assert beginnings == {"It"}


def test_without_sentences_they_are_refused_and_beginnings_are_anywhere() -> None:
    source = SpanSource("forget", [[row("a b c d e f g h")]])
    with pytest.raises(InputError, match=r"forget has no sentence of 6 to 32 tokens that ends in \. ! or \?; leave"):
        source.sentence(0)
    assert len({tuple(source.beginning(2, number)) for number in range(50)}) == 6


def test_words_are_drawn_by_their_number_of_tokens() -> None:
    calm = WordRow([5, 6, 7], [3, 2, 0], ["x", "sea", "horse"])
    other = WordRow([5, 8], [2, 1], ["x", "calm"])
    forget, retain = SpanSource("forget", [[calm, calm]]), SpanSource("retain", [[other, other]])
    words = Words(forget, retain)
    assert words.lengths == {2}
    assert words.draw({1, 2}, 0) == [6, 7]
    with pytest.raises(InputError, match=r"no word is typical of forget; leave `word` out, or give more rows"):
        words.draw({1}, 0)
