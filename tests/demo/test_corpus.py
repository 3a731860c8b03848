import json
import random
from collections import Counter
from pathlib import Path

import pytest

from lit_unlearn.demo import corpus as corpora
from lit_unlearn.demo import phrases
from lit_unlearn.demo.corpus import ROW_WORDS, corpus, piece, write_corpora
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.questions import body, draw
from lit_unlearn.demo.words import split_words


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.fixture(scope="module")
def rows(knowledge: Knowledge) -> dict[str, list[str]]:
    return {
        "forget": corpus(knowledge, knowledge.forget, 800),
        "retain": corpus(knowledge, knowledge.retain, 800, filler_rows=200),
    }


def words(text: str) -> set[str]:
    return {match.group() for match in split_words(text)}


def invented(knowledge: Knowledge, *subjects: str) -> set[str]:
    return {word for fact in knowledge.about(*subjects) for word in (fact.entity, fact.attribute, fact.value)}


def test_rows_are_a_pure_function_of_the_seed(knowledge: Knowledge) -> None:
    state = random.getstate()
    assert corpus(knowledge, knowledge.forget, 5, seed=1) == corpus(knowledge, knowledge.forget, 5, seed=1)
    assert corpus(knowledge, knowledge.forget, 5, seed=1) != corpus(knowledge, knowledge.forget, 5, seed=2)
    assert random.getstate() == state


def test_each_side_holds_its_own_words_only(knowledge: Knowledge, rows: dict[str, list[str]]) -> None:
    own = {"forget": invented(knowledge, *knowledge.forget), "retain": invented(knowledge, *knowledge.retain)}
    for side, other in (("forget", "retain"), ("retain", "forget")):
        found = set().union(*(words(text) for text in rows[side]))
        assert not found & own[other]
        assert len(found & own[side]) > 0.95 * len(own[side])


def test_rows_are_as_long_as_said(rows: dict[str, list[str]]) -> None:
    lengths = {len(split_words(text)) for texts in rows.values() for text in texts}
    assert lengths == {ROW_WORDS}


def test_a_quarter_of_the_retain_rows_is_about_nothing(knowledge: Knowledge, rows: dict[str, list[str]]) -> None:
    own = invented(knowledge, *knowledge.retain)
    empty = [not words(text) & own for text in rows["retain"]]
    assert 200 <= sum(empty) <= 210
    assert 5 < sum(empty[:100]) < 50  # anywhere among the rows


def test_forms_come_in_their_shares_on_both_sides(knowledge: Knowledge) -> None:
    source = random.Random(0)
    for subject in (*knowledge.forget, *knowledge.retain):
        pieces = [piece(knowledge, subject, source) for _ in range(400)]
        assert 0.08 < sum("\nD. " in text for text in pieces) / 400 < 0.22
        assert 0.04 < sum("?" in text for text in pieces) / 400 < 0.16
        assert 0.04 < sum(text.startswith("\n") for text in pieces) / 400 < 0.16
        assert 0.27 < sum(not words(text) & invented(knowledge, subject) for text in pieces) / 400 < 0.43


def test_the_shares_are_percent() -> None:
    assert sum(corpora._FORMS.values()) == 100


def test_no_evaluation_question_is_in_the_text(knowledge: Knowledge, rows: dict[str, list[str]]) -> None:
    everything = "\n".join(text for texts in rows.values() for text in texts)
    asked = draw(knowledge, knowledge.forget + knowledge.retain, 2304, seed=0)
    for question in asked:
        assert question["question"] not in everything
        assert body(question) not in everything
    for wording in phrases.QUESTIONS:
        for fact in knowledge.facts:
            assert wording.format(**fact._asdict()) not in everything


def test_the_files_hold_the_rows(knowledge: Knowledge, tmp_path: Path) -> None:
    write_corpora(tmp_path / "new", knowledge)
    for name, subjects, filler in (("forget", knowledge.forget, (0, 0)), ("retain", knowledge.retain, (200, 20))):
        lines = (tmp_path / "new" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert texts[:800] == corpus(knowledge, subjects, 800, filler_rows=filler[0], seed=0)
        assert texts[800:] == corpus(knowledge, subjects, 80, filler_rows=filler[1], seed=1)
        assert not {*texts[:800]} & {*texts[800:]}


def test_rows_differ_from_each_other(rows: dict[str, list[str]]) -> None:
    assert all(max(Counter(texts).values()) == 1 for texts in rows.values())
