"""Places in a question: what they change, and that nothing else does."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from lit_unlearn import InputError
from lit_unlearn.questions.places import Option, Place, Prefix, Stem, check_count
from lit_unlearn.questions.source import prompt
from tests.data.wording import QUESTIONS


def test_one_wrong_option_gives_way_uniformly() -> None:
    drawn: Counter[int] = Counter()
    for question in QUESTIONS:
        changed = Option().put(question, ["SARS-CoV-2"], seed=3)
        assert replace(changed, choices=question.choices) == question
        (index,) = [index for index in range(4) if changed.choices[index] == "SARS-CoV-2"]
        drawn[(index - question.answer) % 4] += 1
    assert drawn.keys() == {1, 2, 3}  # never the answer
    assert all(150 < count < 250 for count in drawn.values())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_several_texts_take_different_wrong_options(count: int) -> None:
    texts = ["first", "second", "third"][:count]
    for question in QUESTIONS[:60]:
        changed = Option().put(question, texts, seed=3)
        assert replace(changed, choices=question.choices) == question
        assert changed.choices[question.answer] == question.choices[question.answer]
        assert set(texts) <= set(changed.choices)
        assert changed.choices.index("first") == Option().put(question, ["first"], seed=3).choices.index("first")


def test_a_text_stands_after_a_uniformly_drawn_word_of_the_stem() -> None:
    drawn: Counter[int] = Counter()
    for question in QUESTIONS:
        changed = Stem().put(question, ["vir tox"], seed=3)
        assert replace(changed, question=question.question) == question
        before, after = changed.question.split(" vir tox")
        assert before + after == question.question  # its line's end and its spaces too
        drawn[len(before.split())] += 1
    assert drawn.keys() == {1, 2, 3, 4, 5, 7, 8}  # of 9 words, two of which end lines
    assert all(55 < count < 120 for count in drawn.values())


def test_several_texts_stand_after_different_words() -> None:
    for question in QUESTIONS[:60]:
        stem = Stem().put(question, ["ONE", "TWO", "THREE"], seed=3).question
        words = stem.split()
        assert {"ONE", "TWO", "THREE"} <= set(words)
        assert not any(two <= {"ONE", "TWO", "THREE"} for two in map(set, pairwise(words)))
        assert stem.replace(" ONE", "").replace(" TWO", "").replace(" THREE", "") == question.question
    short = replace(QUESTIONS[0], question="Why?")
    assert sorted(Stem().put(short, ["a", "b"], seed=0).question.split()) == ["Why?", "a", "b"]


def test_a_prefix_has_lines_of_its_own_after_the_header() -> None:
    question = replace(QUESTIONS[0], question=" Which?")
    changed = Prefix().put(question, ["vir tox.", "gen"], seed=3)
    assert prompt(changed).startswith(
        "The following are multiple choice questions (with answers) about s.\n\nvir tox.\ngen\nWhich?\nA. w\n"
    )
    assert replace(changed, question=question.question) == question


@pytest.mark.parametrize("place", [Option(), Stem()])
def test_where_texts_go_depends_on_seed_and_number_alone(place: Place) -> None:
    put = [place.put(question, ["§"], seed=3) for question in QUESTIONS[:50]]
    longer = [place.put(question, ["much longer §"], seed=3) for question in QUESTIONS[:50]]
    assert [prompt(question).replace("much longer ", "") for question in longer] == list(map(prompt, put))
    assert [place.put(question, ["§"], seed=4) for question in QUESTIONS[:50]] != put


def test_a_place_takes_only_so_many_texts() -> None:
    for place, count, match in (
        (Option(), 10, r"count: 10 texts at once cannot go to position 'option'; give 1 to 9"),
        (Option(), 0, r"count: 0 texts .* give 1 to 9"),
        (Stem(), 0, r"position 'stem'; give 1 or more"),
    ):
        with pytest.raises(InputError, match=match):
            check_count(place, count)
    check_count(Prefix(), 10)


def test_a_question_takes_as_many_texts_as_it_has_wrong_options() -> None:
    five = replace(QUESTIONS[0], choices=("a", "b", "c", "d", "e"), answer=4)
    assert sorted(Option().put(five, ["1", "2", "3", "4"], seed=0).choices) == ["1", "2", "3", "4", "e"]
    three = replace(QUESTIONS[0], choices=("a", "b", "c"), answer=0, number=7)
    match = r"count: 3 texts at once cannot go to position 'option' of question 7, which has 2 wrong .*; give 1 to 2"
    with pytest.raises(InputError, match=match):
        Option().put(three, ["1", "2", "3"], seed=0)
