"""Perturbations: what they change, what their draws depend on, how long their texts are."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.data.perturb import Control, NGram, Perturbation, ReplaceOption
from lit_unlearn.data.questions import Question, prompt

QUESTIONS = [Question(f"q{number}?", ("w", "x", "y", "z"), number % 4, "s", number) for number in range(600)]
SOURCE = random.Random("corpora")


def corpus(syllables: str, rows: int = 30) -> list[str]:
    """Invented text whose words tokenizers must split."""
    parts = syllables.split()
    return [
        " ".join("".join(SOURCE.choices(parts, k=SOURCE.randint(1, 4))) for _ in range(40)) + ".\n" for _ in range(rows)
    ]


FORGET, RETAIN = corpus("vir tox gen aé zu"), corpus("flo leaf ro sun ki")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE too small to hold the corpora's words whole."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["</s>"], initial_alphabet=letters, show_progress=False
    )
    fast.train_from_iterator(FORGET + RETAIN, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="</s>")


def replaced(perturbation: Perturbation, question: Question) -> tuple[int, str]:
    """The one option that changed, and its new text."""
    changed = perturbation(question)
    assert replace(changed, choices=question.choices) == question
    (index,) = [index for index in range(4) if changed.choices[index] != question.choices[index]]
    return index, changed.choices[index]


def test_one_wrong_option_gives_way_uniformly() -> None:
    perturbation = ReplaceOption(("SARS-CoV-2",), seed=3)
    drawn: Counter[int] = Counter()
    for question in QUESTIONS:
        index, text = replaced(perturbation, question)
        assert text == "SARS-CoV-2"
        drawn[(index - question.answer) % 4] += 1
    assert drawn.keys() == {1, 2, 3}  # never the answer
    assert all(150 < count < 250 for count in drawn.values())


def test_given_texts_are_drawn_uniformly() -> None:
    drawn = Counter(replaced(ReplaceOption(("s", "t", "u")), question)[1] for question in QUESTIONS)
    assert drawn.keys() == {"s", "t", "u"}
    assert all(150 < count < 250 for count in drawn.values())


def test_a_draw_depends_on_seed_and_number_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    for first, again, other in (
        (ReplaceOption(("s", "t")), ReplaceOption(("s", "t")), ReplaceOption(("s", "t"), seed=1)),
        (NGram(FORGET, tokenizer, 2), NGram(FORGET, tokenizer, 2), NGram(FORGET, tokenizer, 2, seed=1)),
    ):
        drawn = [replaced(first, question) for question in QUESTIONS[:50]]
        torch.manual_seed(7)
        random.seed(7)
        reworded = [replace(question, question="other", subject="t") for question in QUESTIONS[:50]]
        assert [replaced(again, question) for question in reversed(reworded)] == drawn[::-1]
        assert [replaced(other, question) for question in QUESTIONS[:50]] != drawn


def test_draws_leave_global_generators_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    state = random.getstate(), torch.get_rng_state()
    NGram(FORGET, tokenizer, 2)(ReplaceOption(("s", "t"))(QUESTIONS[0]))
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_n_grams_are_text_of_the_corpus_with_n_tokens(tokenizer: PreTrainedTokenizerFast, n: int) -> None:
    words = [f" {' '.join(text.split())}" for text in FORGET]
    drawn = set()
    for question in QUESTIONS[:100]:
        _, text = replaced(NGram(FORGET, tokenizer, n), question)
        assert text == text.strip()
        assert any(f" {text}" in line for line in words)  # it begins with a word
        assert len(tokenizer.encode(f" {text}")) == n
        drawn.add(text)
    assert len(drawn) > 10


@pytest.mark.parametrize("n", [1, 4, 16])
def test_forget_and_control_differ_in_the_text_alone(tokenizer: PreTrainedTokenizerFast, n: int) -> None:
    forget, control = (NGram(texts, tokenizer, n, seed=5) for texts in (FORGET, RETAIN))
    for question in QUESTIONS[:100]:
        (index, text), (other, plain) = replaced(forget, question), replaced(control, question)
        assert index == other
        assert text != plain
        lengths = {len(tokenizer.encode(prompt(perturb(question)))) for perturb in (forget, control)}
        assert len(lengths) == 1


def test_a_control_has_as_many_tokens_as_the_text_it_answers(tokenizer: PreTrainedTokenizerFast) -> None:
    forget = ReplaceOption(("viru", "genetoxic aézu", "SARS-CoV-2"), seed=5)
    control = Control(forget, RETAIN, tokenizer)
    lengths = set()
    for question in QUESTIONS[:60]:
        (index, text), (other, plain) = replaced(forget, question), replaced(control, question)
        assert index == other
        assert len(tokenizer.encode(f" {text}")) == len(tokenizer.encode(f" {plain}"))
        assert f" {plain}" in " ".join(" ".join(text.split()) for text in RETAIN)
        lengths.add(len(tokenizer.encode(f" {plain}")))
    assert len(lengths) > 1


def test_characters_are_never_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    perturbation = NGram(["€ vir tox gen € vir tox"], tokenizer, 2)  # a euro sign is three tokens
    drawn = {perturbation.text(number) for number in range(20)}
    assert drawn
    assert not any("\ufffd" in text for text in drawn)


def test_unknown_words_are_never_drawn() -> None:
    words = {"<unk>": 0, "A": 1, ".": 2, "known": 3, "word": 4}
    fast = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>")
    perturbation = NGram(["foreign known word alien strange"], tokenizer, 2)
    assert {perturbation.text(number) for number in range(20)} == {"known word"}


def test_what_cannot_be_drawn_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    for texts in ((), ("", "s")):
        with pytest.raises(InputError, match=r"nothing to put in; give at least one text"):
            ReplaceOption(texts)
    for rows, n in ((FORGET, 0), ([], 2)):
        with pytest.raises(InputError, match=r"give 1 or more of each"):
            NGram(rows, tokenizer, n)
    with pytest.raises(InputError, match=r"none of 200 places .* n-gram of 8 tokens; lower n or give longer texts"):
        NGram(["", "ab"], tokenizer, 8)(QUESTIONS[0])
