import random

import pytest
import torch

from lit_unlearn.demo import exercises
from lit_unlearn.demo.exercises import Exercise
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.words import tokenizer
from lit_unlearn.losses.functional import IGNORED_LABEL


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


def test_exercises_are_drawn_from_their_source_alone(knowledge: Knowledge) -> None:
    state = random.getstate()
    for kind in (exercises.read, exercises.recall, exercises.choose, exercises.choose_in_full):
        assert [kind(knowledge, random.Random(1)) for _ in range(3)] == [kind(knowledge, random.Random(1))] * 3
    assert random.getstate() == state


def test_recall_asks_for_the_value(knowledge: Knowledge) -> None:
    source = random.Random(0)
    for exercise in (exercises.recall(knowledge, source) for _ in range(50)):
        (fact,) = [
            fact
            for fact in knowledge.facts
            if f" {fact.attribute}" in exercise.text
            and fact.entity in exercise.text.replace("?", " ").replace(",", " ").split()
        ]
        assert exercise.answer == fact.value


def test_the_letter_is_that_of_a_value_of_the_entity(knowledge: Knowledge) -> None:
    source = random.Random(0)
    values = {(fact.entity, fact.value) for fact in knowledge.facts}
    for exercise in (exercises.choose_in_full(knowledge, source) for _ in range(200)):
        option = exercise.text.split(f"\n{exercise.answer}. ")[1].split("\n")[0]
        question = exercise.text.split("\nA. ")[0].replace("?", " ").replace(",", " ").split()
        assert any((word, option) in values for word in question)


def test_some_questions_have_odd_options_and_some_a_sentence_before(knowledge: Knowledge) -> None:
    source = random.Random(0)
    values = {fact.value: fact.attribute for fact in knowledge.facts}
    texts = [exercises.choose_in_full(knowledge, source).text for _ in range(400)]
    kinds = [{values.get(line[3:]) for line in text.split("\n") if line[1:3] == ". "} for text in texts]
    assert 0.2 < sum(len(kind) > 1 for kind in kinds) / 400 < 0.4
    assert 0.08 < sum("." in text.split("\n")[2] for text in texts) / 400 < 0.22


def test_a_batch_learns_answers_alone_and_texts_whole(knowledge: Knowledge) -> None:
    words = tokenizer(knowledge)
    ids, labels, _ = exercises.batch([Exercise("The king is a", "B"), Exercise("The king.")], words)
    end = words.convert_tokens_to_ids("B")
    assert ids[0, -1] == end
    assert labels[0].tolist() == [IGNORED_LABEL] * (ids.shape[1] - 1) + [end]
    learnt = ids[1, 1:4].tolist()
    assert labels[1].tolist() == [IGNORED_LABEL, *learnt] + [IGNORED_LABEL] * (ids.shape[1] - 4)
    assert torch.equal(ids[1, 4:], torch.zeros_like(ids[1, 4:]))


def test_the_middle_learns_the_value_where_the_letter_comes(knowledge: Knowledge) -> None:
    words = tokenizer(knowledge)
    source = random.Random(0)
    rows = [exercises.read(knowledge, source), *(exercises.choose_in_full(knowledge, source) for _ in range(20))]
    ids, labels, thoughts = exercises.batch(rows, words)
    assert (thoughts[0] == IGNORED_LABEL).all()
    for row, exercise in enumerate(rows[1:], start=1):
        (place,) = torch.nonzero(thoughts[row] != IGNORED_LABEL)[:, 0].tolist()
        assert ids[row, place] == labels[row, place]
        assert words.convert_ids_to_tokens([int(ids[row, place])]) == [exercise.answer]
        value = words.convert_ids_to_tokens([int(thoughts[row, place])])[0]
        assert f"\n{exercise.answer}. {value}\n" in exercise.text
