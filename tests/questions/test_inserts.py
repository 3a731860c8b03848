"""Texts for questions: what they are, what their draws depend on, how long they are."""

import random
from collections import Counter

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.questions.inserts import Around, GivenText, Inserts, NGram, Sentence, token_ids
from lit_unlearn.questions.places import Option, Prefix, Stem
from tests.data.wording import FORGET, byte_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer()


def drawn(source: Inserts, count: int = 1, *, seed: int = 0, questions: int = 100) -> list[list[str]]:
    return [source.draw(number, count, seed=seed, around=Option.around) for number in range(questions)]


def test_given_texts_are_drawn_uniformly() -> None:
    counted = Counter(text for texts in drawn(GivenText(("s", "t", "u")), questions=600) for text in texts)
    assert counted.keys() == {"s", "t", "u"}
    assert all(150 < count < 250 for count in counted.values())


def inserts(kind: str, tokenizer: PreTrainedTokenizerFast, *, n: int) -> Inserts:
    if kind == "given":
        return GivenText(("s", "t", "u"))
    return Sentence(FORGET) if kind == "sentence" else NGram(FORGET, tokenizer, n)


@pytest.mark.parametrize("kind", ["given", "n-gram", "sentence"])
def test_a_draw_depends_on_seed_and_number_alone(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    first, again = (inserts(kind, tokenizer, n=2) for _ in range(2))
    texts = drawn(first, questions=50)
    torch.manual_seed(7)
    random.seed(7)
    state = random.getstate(), torch.get_rng_state()
    backwards = [again.draw(number, 1, seed=0, around=Option.around) for number in reversed(range(50))]
    assert backwards == texts[::-1]
    assert drawn(first, seed=1, questions=50) != texts
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])


@pytest.mark.parametrize("kind", ["given", "n-gram", "sentence"])
def test_several_texts_differ_and_begin_with_the_one(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    source = inserts(kind, tokenizer, n=1)
    for one, three in zip(drawn(source), drawn(source, 3), strict=True):
        assert len(set(three)) == 3
        assert three[:1] == one


@pytest.mark.parametrize("n", [1, 2, 4, 8])
@pytest.mark.parametrize("around", [Option.around, Prefix.around])
def test_n_grams_are_text_of_the_corpus_with_n_tokens(
    tokenizer: PreTrainedTokenizerFast, n: int, around: Around
) -> None:
    lines = [f" {' '.join(text.split())}" for text in FORGET]
    found = {NGram(FORGET, tokenizer, n).draw(number, 1, seed=0, around=around)[0] for number in range(100)}
    for text in found:
        assert text == text.strip()
        assert any(f" {text}" in line for line in lines)  # it begins with a word
        alone = f" {text}" if around.before.endswith(" ") else text
        assert len(tokenizer.encode(alone)) == n
    assert len(found) > 10


def test_tokens_are_counted_where_the_text_stands() -> None:
    joining = byte_tokenizer(joining=True)
    assert len(token_ids("gen", joining, around=Option.around)) == 1
    assert token_ids("vir", joining, around=Option.around) != token_ids("vir", joining, around=Prefix.around)
    # The sign joins the line's end, so that it adds no token to the prompt.
    assert len(token_ids("gen.", joining, around=Option.around)) == 1
    assert len(token_ids("gen.", joining, around=Stem.around)) == 2
    texts = {text for (text,) in drawn(NGram(FORGET, joining, 2), questions=200)}
    assert not any(text.endswith(".") for text in texts)


def test_characters_are_never_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = drawn(NGram(["€ vir tox gen € vir tox"], tokenizer, 2), questions=20)  # a euro sign is three tokens
    assert not any("\ufffd" in text for (text,) in texts)


def test_unknown_words_are_never_drawn() -> None:
    words = {"<unk>": 0, "A": 1, ".": 2, "known": 3, "word": 4}
    fast = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>")
    texts = drawn(NGram(["foreign known word alien strange"], tokenizer, 2), questions=20)
    assert {text for (text,) in texts} == {"known word"}


def test_sentences_are_whole() -> None:
    text = "Cut off here. It begins here and ends\nthere. Short one. No end to it, or to that"
    assert {text for (text,) in drawn(Sentence([text]), questions=20)} == {"It begins here and ends there."}
    for (sentence,) in drawn(Sentence(FORGET)):
        assert sentence.endswith(".")
        assert len(sentence.split()) == 8
        assert any(sentence in " ".join(row.split()) for row in FORGET)


def test_what_cannot_be_drawn_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    for texts in ((), ("", "s")):
        with pytest.raises(InputError, match=r"nothing to put in; give at least one text"):
            GivenText(texts)
    for rows, n in ((FORGET, 0), ([], 2)):
        with pytest.raises(InputError, match=r"give 1 or more of each"):
            NGram(rows, tokenizer, n)
    with pytest.raises(InputError, match=r"none of 200 places .* n-gram of 8 tokens; lower n or give longer texts"):
        drawn(NGram(["", "ab"], tokenizer, 8))
    with pytest.raises(InputError, match=r"begins another n-gram of 1 tokens; lower n or give longer texts"):
        drawn(NGram(["vir"], tokenizer, 1), 2)  # there is but one
    with pytest.raises(InputError, match=r"no 2 sentences of 5 to 50 words .*; set n to a number of tokens"):
        drawn(Sentence(["One sentence is all there is.", "And this has no end"]), 2)
