import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lit_unlearn.demo import exercises
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.questions import LETTERS, draw, prompt
from lit_unlearn.demo.words import tokenizer, vocabulary


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.fixture(scope="module")
def words(knowledge: Knowledge) -> PreTrainedTokenizerFast:
    return tokenizer(knowledge)


def texts(knowledge: Knowledge) -> list[str]:
    source = random.Random(0)
    kinds = (exercises.read, exercises.recall, exercises.choose, exercises.choose_in_full)
    learnt = [kind(knowledge, source) for kind in kinds for _ in range(50)]
    asked = [prompt(question) for question in draw(knowledge, knowledge.forget + knowledge.retain, 576, seed=0)]
    unlearned = corpus(knowledge, knowledge.forget, 100) + corpus(knowledge, knowledge.retain, 100, filler_rows=25)
    return [exercise.text for exercise in learnt] + asked + unlearned


def test_no_word_of_any_text_is_unknown(knowledge: Knowledge, words: PreTrainedTokenizerFast) -> None:
    for text in texts(knowledge):
        assert words.unk_token_id not in words(text)["input_ids"], text


def test_a_text_is_whole_after_a_round_trip(knowledge: Knowledge, words: PreTrainedTokenizerFast) -> None:
    for text in texts(knowledge):
        ids = words(text)["input_ids"]
        back = words.decode(ids, skip_special_tokens=True)
        assert isinstance(back, str)
        assert "".join(back.split()) == "".join(text.split())
        assert words(back)["input_ids"] == ids


@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_is_one_token_with_and_without_a_space(words: PreTrainedTokenizerFast, letter: str) -> None:
    (alone,) = words(letter, add_special_tokens=False)["input_ids"]
    assert words(f" {letter}", add_special_tokens=False)["input_ids"] == [alone]
    assert words(f"Answer: {letter}")["input_ids"] == [*words("Answer:")["input_ids"], alone]
    assert alone != words.unk_token_id


def test_a_text_begins_with_the_beginning_token_once(words: PreTrainedTokenizerFast) -> None:
    ids = words("The rotor is known as")["input_ids"]
    assert ids[0] == words.bos_token_id
    assert words.bos_token_id not in ids[1:]


def test_line_ends_and_signs_are_tokens(words: PreTrainedTokenizerFast) -> None:
    tokens = words.convert_ids_to_tokens(words("Answer:\n\n(with answers).")["input_ids"])
    assert tokens == ["<s>", "Answer", ":", "\n", "\n", "(", "with", "answers", ")", "."]


def test_the_vocabulary_is_whole_and_has_no_word_twice(knowledge: Knowledge, words: PreTrainedTokenizerFast) -> None:
    assert len(set(vocabulary(knowledge))) == len(vocabulary(knowledge)) == len(words)


def test_a_saved_tokenizer_is_the_same(words: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    words.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "Question: Which glyph is known as A?\nAnswer: B"
    assert loaded(text)["input_ids"] == words(text)["input_ids"]
    assert (loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id) == (0, 1, 2)
