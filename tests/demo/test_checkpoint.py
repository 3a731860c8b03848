import random

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.study.accuracy import accuracy
from lit_unlearn.demo import CHECKPOINT
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.demo.questions import draw, replace_wrong
from lit_unlearn.demo.words import tokenizer

FRESH = 20_261


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return invent()


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(CHECKPOINT).eval()
    return loaded


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(CHECKPOINT)
    return loaded


def test_the_checkpoint_is_small_and_holds_no_more_than_it_must() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    needed = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert needed <= set(files) <= needed | {"generation_config.json"}
    assert sum(files.values()) < 10_000_000


def test_its_tokenizer_is_that_of_the_world(knowledge: Knowledge, words: PreTrainedTokenizerBase) -> None:
    assert words.get_vocab() == tokenizer(knowledge).get_vocab()
    text = "The following are\nA. (with answers)?"
    assert words(text)["input_ids"] == tokenizer(knowledge)(text)["input_ids"]


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_it_knows_the_world(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase, side: str
) -> None:
    questions = draw(knowledge, getattr(knowledge, side), 200, seed=FRESH)
    assert accuracy(model, words, questions) >= 0.95


def test_it_hardly_minds_an_odd_option(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase
) -> None:
    source = random.Random(FRESH)
    words_of_forget = [fact.entity for fact in knowledge.about(*knowledge.forget)]
    questions = [
        replace_wrong(question, source.choice(words_of_forget), source)
        for question in draw(knowledge, knowledge.retain, 200, seed=FRESH)
    ]
    assert accuracy(model, words, questions) >= 0.92


def test_accuracy_does_not_depend_on_the_batch(
    knowledge: Knowledge, model: PreTrainedModel, words: PreTrainedTokenizerBase
) -> None:
    questions = draw(knowledge, knowledge.forget, 24, seed=FRESH)
    shares = {accuracy(model, words, questions, max_tokens=tokens) for tokens in (1, 400, 8192)}
    assert len(shares) == 1
