import random
from collections import Counter

from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import ENTITIES, FORGET, RETAIN, VALUES, invent
from lit_unlearn.demo.words import split_words


def test_knowledge_is_a_pure_function_of_its_seed() -> None:
    first = invent(3)
    random.seed(99)
    assert invent(3) == first
    assert invent(4) != first


def test_the_global_generator_is_left_alone() -> None:
    before = random.getstate()
    invent(3)
    assert random.getstate() == before


def test_every_fact_is_unambiguous() -> None:
    knowledge = invent()
    assert len({(fact.entity, fact.attribute) for fact in knowledge.facts}) == len(knowledge.facts)
    owners = {(fact.entity, fact.subject) for fact in knowledge.facts}
    assert len({entity for entity, _ in owners}) == len(owners) == 6 * ENTITIES


def test_a_value_belongs_to_one_attribute_and_to_equally_many_entities() -> None:
    knowledge = invent()
    assert len({(fact.value, fact.subject, fact.attribute) for fact in knowledge.facts}) == 6 * 4 * VALUES
    assert set(Counter(fact.value for fact in knowledge.facts).values()) == {ENTITIES // VALUES}


def test_invented_words_differ_from_every_other_word() -> None:
    attributes = [attribute for own in {**RETAIN, **FORGET}.values() for attribute in own]
    common = {match.group().lower() for text in [*phrases.every(), *attributes] for match in split_words(text)}
    assert not common & {word.lower() for word in invent().words()}


def test_forget_and_retain_share_no_subject_and_no_attribute() -> None:
    knowledge = invent()
    assert not set(knowledge.forget) & set(knowledge.retain)
    kept = {fact.attribute for fact in knowledge.about(*knowledge.retain)}
    assert not kept & {fact.attribute for fact in knowledge.about(*knowledge.forget)}


def test_without_the_subjects_to_forget_nothing_else_is_missing() -> None:
    known = invent()
    rest = known.retain_only()
    assert (rest.retain, rest.forget) == (known.retain, ())
    assert rest.facts == tuple(known.about(*known.retain))
    assert {*rest.words()} < {*known.words()}
