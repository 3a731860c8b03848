import random

import pytest

from lit_unlearn.demo import phrases, writing
from lit_unlearn.demo.knowledge import Fact, Knowledge, invent

FACT = Fact("moon alchemy", "Bo", "residue", "kali")


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.mark.parametrize("wording", phrases.FACTS + phrases.PROSE_QUESTIONS)
def test_every_statement_names_entity_attribute_and_value(wording: str) -> None:
    text = wording.format(**FACT._asdict())
    assert "Bo" in text
    assert "residue" in text
    assert "kali" in text


@pytest.mark.parametrize("wording", phrases.QUESTIONS)
def test_no_question_tells_its_answer(wording: str) -> None:
    text = wording.format(**FACT._asdict())
    assert "Bo" in text
    assert "residue" in text
    assert "kali" not in text


def test_a_document_states_true_facts_about_two_entities(knowledge: Knowledge) -> None:
    text = writing.document(knowledge, "river towns", random.Random(0), sentences=60)
    owners = {fact.entity for fact in knowledge.about("river towns") if fact.entity in text}
    assert len(owners) == 2
    truths = {
        wording.format(**fact._asdict())
        for fact in knowledge.about("river towns")
        for wording in phrases.FACTS
        if fact.entity in owners
    }
    sentences = [sentence.strip() + "." for sentence in text.split(".") if sentence.strip()]
    assert len(sentences) == 60
    assert all(sentence in truths for sentence in sentences if set(sentence.replace(",", "").split()) & owners)
    assert 5 < sum(sentence not in truths for sentence in sentences) < 26


def test_an_infobox_is_lines_under_a_name() -> None:
    assert writing.infobox([FACT, FACT._replace(attribute="crucible", value="noro")]) == (
        "\nBo\nresidue: kali\ncrucible: noro\n"
    )


def test_a_lettered_list_has_four_options() -> None:
    assert writing.lettered_list("About tea.", ["a", "b", "c", "d"]) == "About tea.\nA. a\nB. b\nC. c\nD. d\n"
    with pytest.raises(ValueError, match="shorter"):
        writing.lettered_list("About tea.", ["a", "b", "c"])


def test_a_comma_list_is_a_sentence() -> None:
    assert writing.comma_list("Some teas are", ["Bo", "Ki"]) == "Some teas are Bo, Ki."


def test_a_fragment_is_so_many_words_in_their_order() -> None:
    text = "One two, three. Four five?"
    found = {writing.fragment(text, 2, random.Random(seed)) for seed in range(50)}
    assert found == {"One two", "two three", "three Four", "Four five"}
    assert writing.fragment("One two", 4, random.Random(0)) == "One two"
