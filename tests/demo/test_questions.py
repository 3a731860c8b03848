import json
import random
from collections import Counter
from pathlib import Path

import pytest

from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.questions import Question, draw, prompt, replace_wrong, write_questions


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.fixture(scope="module")
def questions(knowledge: Knowledge) -> list[Question]:
    return draw(knowledge, knowledge.forget + knowledge.retain, 1000, seed=0)


def right_values(knowledge: Knowledge, question: Question) -> set[str]:
    words = set(question["question"].replace("?", " ").replace(",", " ").split())
    (fact,) = [fact for fact in knowledge.facts if {fact.entity, fact.attribute} <= words]
    assert fact.subject == question["subject"]
    return {fact.value}


def test_exactly_one_of_four_distinct_options_is_right(knowledge: Knowledge, questions: list[Question]) -> None:
    for question in questions:
        assert len(set(question["choices"])) == len(question["choices"]) == 4
        right = right_values(knowledge, question)
        assert [choice in right for choice in question["choices"]].index(True) == question["answer"]
        assert len(right & set(question["choices"])) == 1


def test_wrong_options_are_values_of_the_same_attribute(knowledge: Knowledge, questions: list[Question]) -> None:
    attribute = {fact.value: (fact.subject, fact.attribute) for fact in knowledge.facts}
    assert all(len({attribute[choice] for choice in question["choices"]}) == 1 for question in questions)


def test_letters_are_balanced(questions: list[Question]) -> None:
    assert Counter(question["answer"] for question in questions) == dict.fromkeys(range(4), 250)


def test_the_answer_says_nothing_about_the_fact(knowledge: Knowledge) -> None:
    letters = [draw(knowledge, ["moon alchemy"], 96, seed=seed) for seed in range(8)]
    first = sorted({fact.entity for fact in knowledge.about("moon alchemy")})[0]
    answers = {question["answer"] for part in letters for question in part if first in question["question"]}
    assert answers == {0, 1, 2, 3}


def test_every_fact_comes_before_any_comes_again(knowledge: Knowledge) -> None:
    asked = draw(knowledge, knowledge.forget, 192, seed=5)
    assert (
        len({(question["question"].strip("?"), question["choices"][question["answer"]]) for question in asked}) == 192
    )
    assert all(right_values(knowledge, question) for question in asked)


def test_draws_are_pure_functions_of_their_seed_and_differ(knowledge: Knowledge) -> None:
    state = random.getstate()
    first = draw(knowledge, knowledge.retain, 300, seed=1)
    assert draw(knowledge, knowledge.retain, 300, seed=1) == first
    assert random.getstate() == state
    other = {prompt(question) for question in draw(knowledge, knowledge.retain, 300, seed=2)}
    assert len(other & {prompt(question) for question in first}) <= 1


def test_the_prompt_is_that_of_the_harness() -> None:
    question = Question(
        question="Which glyph does Bo have?", choices=["ka", "lo", "mi", "nu"], answer=2, subject="rune engines"
    )
    assert prompt(question) == (
        "The following are multiple choice questions (with answers) about rune engines.\n\n"
        "Which glyph does Bo have?\nA. ka\nB. lo\nC. mi\nD. nu\nAnswer:"
    )


def test_a_wrong_option_is_replaced_and_the_right_one_stays(questions: list[Question]) -> None:
    source = random.Random(0)
    for question in questions[:100]:
        before = dict(question)
        changed = replace_wrong(question, "new text", source)
        assert dict(question) == before
        differing = [index for index in range(4) if changed["choices"][index] != question["choices"][index]]
        assert len(differing) == 1
        assert changed["choices"][differing[0]] == "new text"
        assert differing != [question["answer"]]


def test_a_file_holds_a_question_per_line(questions: list[Question], tmp_path: Path) -> None:
    write_questions(tmp_path / "forget.jsonl", questions[:20])
    lines = (tmp_path / "forget.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == questions[:20]
