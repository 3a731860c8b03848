"""Passages that hold a question's answer: found by rare words, cut around the answer, none where there is none."""

import pytest

from lit_unlearn import InputError
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import draw
from lit_unlearn.questions.documents import Documents
from lit_unlearn.questions.source import Question

TEXTS = [
    "The tower of Ada is old. The tower of Bo is red.",
    "Bo has a green door, and the door of Bo is often open.",
    "Nothing here, of the tower is red.",
]


def ask(stem: str, right: str) -> Question:
    return Question(stem, (right, "x", "y"), 0, "towns", 0)


def test_the_row_with_the_rarest_word_and_the_answer_that_shares_most() -> None:
    documents = Documents(TEXTS)
    assert documents.passage(ask("What is the tower of Bo?", "red")) == TEXTS[0]
    assert documents.passage(ask("What is the door of Bo?", "Green door")) == TEXTS[1]
    assert documents.passage(ask("What is the tower of Cy?", "green")) is None  # the rarest known word is the tower's
    assert documents.passage(ask("What is the door of Bo?", "door green")) is None  # its words, not its text
    assert documents.passage(ask("What is the door of Bo?", "...")) is None


def test_a_passage_is_words_around_the_answer_with_the_signs_between() -> None:
    documents = Documents(TEXTS, words=4)
    assert documents.passage(ask("What is the tower of Bo?", "red")) == "of Bo is red."
    assert documents.passage(ask("What is the door of Bo?", "green")) == "a green door, and"
    assert Documents(TEXTS, words=1).passage(ask("The door of Bo?", "a green door")) == "a green door"


def test_questions_without_a_passage_are_left_out() -> None:
    asked = [ask("What is the tower of Bo?", "red"), ask("What is the tower of Cy?", "blue")]
    assert [one.question for one in Documents(TEXTS).beside(asked)] == [f"{TEXTS[0]}\nWhat is the tower of Bo?"]
    with pytest.raises(InputError, match="documents: 100 words of 0 texts"):
        Documents([])


def test_the_demo_s_texts_hold_the_answers_of_most_questions_and_state_them() -> None:
    knowledge = invent()
    documents = Documents(corpus(knowledge, knowledge.forget, 800, seed=0))
    asked = [
        Question(one["question"], tuple(one["choices"]), one["answer"], one["subject"], number)
        for number, one in enumerate(draw(knowledge, knowledge.forget, 60, seed=3))
    ]
    entities = {entity for subject in knowledge.forget for entity in knowledge.entities(subject)}
    found = documents.beside(asked)
    assert len(found) > 50
    for one in found:
        passage, stem = one.question.rsplit("\n", 1)
        (entity,) = entities.intersection(stem.replace(",", " ").replace("?", " ").split())
        assert entity in passage
        assert one.choices[one.answer] in passage
