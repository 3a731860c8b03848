from collections.abc import Sequence

import pytest

from lit_unlearn import InputError
from lit_unlearn.data.ngrams import WordRow
from lit_unlearn.questions.insertions import Insertions, Plan, Stream, plan
from lit_unlearn.questions.spans import Span

FORGET, HELD_FORGET, RETAIN, HELD_RETAIN = 1000, 2000, 3000, 4000
"""The first token of each kind of row."""


def rows(first: int, count: int, length: int) -> list[WordRow]:
    """Every second token begins a word; all tokens differ."""
    room = [(length - place) * (place % 2 == 0) for place in range(length)]
    return [WordRow([*range(begin, begin + length)], room, ["a"] * length) for begin in range(first, first + count)]


def made(spans: Sequence[Span] = (1, 4), *, length: int = 70, count: int = 6, seed: int = 0, most: int = 40) -> Plan:
    forget = Stream(rows(FORGET, 9, 60), rows(HELD_FORGET, 6, 100))
    retain = Stream(rows(RETAIN, 9, 60), rows(HELD_RETAIN, count, length))
    return plan(Insertions(most, tuple(spans), seed), [forget], [retain])


def test_a_row_is_cut_at_a_word_and_the_same_48_tokens_follow() -> None:
    found = made()
    for name, origin in (("4-gram/trained", FORGET), ("4-gram/held-out", HELD_FORGET)):
        assert [one.row for one in found.inserted[name]] == [*range(6)]
        for one in found.inserted[name]:
            clean, forget, control = (found.texts[number] for number in one[1:])
            assert {clean.scored, forget.scored, control.scored} == {48}
            cut = len(clean.input_ids) - 48
            assert 4 <= cut <= 16
            assert cut % 2 == 0
            assert clean.input_ids == tuple(range(HELD_RETAIN + one.row, HELD_RETAIN + one.row + cut + 48))
            for text, first in ((forget, origin), (control, RETAIN)):
                assert text.input_ids[:cut] == clean.input_ids[:cut]
                assert text.input_ids[cut + 4 :] == clean.input_ids[cut:]
                assert all(first <= token < first + 1000 for token in text.input_ids[cut : cut + 4])


def test_a_control_is_the_same_for_trained_and_held_out_text_and_runs_once() -> None:
    found = made([4])
    trained, held_out = (found.inserted[f"4-gram/{origin}"] for origin in ("trained", "held-out"))
    assert [one.control for one in trained] == [one.control for one in held_out]
    assert [one.clean for one in trained] == [one.clean for one in held_out]
    assert len(found.texts) == 6 + 4 * 6  # of forget rows; clean, two kinds of forget text, control


def test_tokens_25_to_96_of_held_out_forget_rows_are_scored() -> None:
    found = made()
    assert [*found.forget] == [*range(6)]
    for row, number in found.forget.items():
        ids, scored = found.texts[number]
        assert ids == tuple(range(HELD_FORGET + row, HELD_FORGET + row + 96))
        assert ids[-scored] == HELD_FORGET + row + 24


def test_draws_are_functions_of_seed_and_row() -> None:
    assert made() == made()
    assert made().texts != made(seed=1).texts
    few, many = made([4], count=4), made([4], count=6)
    texts = [[one.texts[found.forget] for found in one.inserted["4-gram/trained"]] for one in (few, many)]
    assert texts[0] == texts[1][:4]  # another row more changes no other
    alone = made([4]).inserted["4-gram/trained"][0]
    beside = made([1, 4]).inserted["4-gram/trained"][0]
    assert made([4]).texts[alone.forget] == made([1, 4]).texts[beside.forget]


def test_no_more_rows_than_asked_for() -> None:
    found = made(most=3)
    assert len(found.forget) == 3
    assert len({one.row for one in found.inserted["1-gram/trained"]}) == 3


def test_rows_are_numbered_over_streams() -> None:
    streams = [Stream(rows(RETAIN, 9, 60), rows(HELD_RETAIN + part, 2, 70)) for part in (0, 100)]
    forget = Stream(rows(FORGET, 9, 60), rows(HELD_FORGET, 6, 100))
    found = plan(Insertions(40, (1,), 0), [forget], streams).inserted["1-gram/trained"]
    assert [one.row for one in found] == [0, 1, 2, 3]


def test_rows_that_are_too_short_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"0 of the held-out retain rows have 52 tokens, .* give longer texts, raise max"
    ):
        made(length=51)
    assert made(length=52)
    short = Stream(rows(FORGET, 9, 60), rows(HELD_FORGET, 6, 24))
    retain = Stream(rows(RETAIN, 9, 60), rows(HELD_RETAIN, 6, 70))
    with pytest.raises(InputError, match=r"0 of the held-out forget rows have more than 24 tokens"):
        plan(Insertions(40, (1,), 0), [short], [retain])


@pytest.mark.parametrize("spans", [(), (0,), (257,), (4, 4)])
def test_spans_that_cannot_be_are_refused(spans: tuple[Span, ...]) -> None:
    with pytest.raises(
        InputError, match=r"LikelihoodRobustness.spans: .* is out of range; give numbers of tokens from 1 to 256"
    ):
        Insertions(40, spans, 0)


def test_one_row_has_no_error_and_is_refused() -> None:
    with pytest.raises(InputError, match=r"LikelihoodRobustness.rows: 1 give no standard error; give 2 or more"):
        Insertions(1, (4,), 0)
