"""Perturbations and their controls: draws that never change, and prompts that are equally long."""

from itertools import pairwise

import pytest
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.questions.inserts import GivenText, Inserts, NGram, Sentence
from lit_unlearn.questions.perturbation import Control, Perturbation
from lit_unlearn.questions.places import Option, Place, Prefix, Stem
from lit_unlearn.questions.source import prompt
from tests.data.wording import FORGET, QUESTIONS, RETAIN, byte_tokenizer

TOKENIZERS = {False: byte_tokenizer(), True: byte_tokenizer(joining=True)}
PLACES = (Option(), Stem(), Prefix())


def texts(kind: str, tokenizer: PreTrainedTokenizerFast) -> Inserts:
    if kind == "given":
        return GivenText(("viru", "genetoxic aézu.", "SARS-CoV-2"))
    return Sentence(FORGET) if kind == "sentence" else NGram(FORGET, tokenizer, int(kind))


def test_draws_stay_what_they_were_when_first_measured() -> None:
    tokenizer = TOKENIZERS[False]
    covid = Perturbation(GivenText(("SARS-CoV-2", "anthrax", "ricin")), seed=3)
    four = Perturbation(NGram(FORGET, tokenizer, 4), seed=3)
    expected: dict[Perturbation | Control, list[tuple[str, ...]]] = {
        four: [
            ("w", "x", "genaé virzuviraé", "z"),
            ("w", "x", "y", "zu zutoxvirvir"),
            ("aézu zutoxgen toxaé", "x", "y", "z"),
        ],
        covid: [("w", "x", "anthrax", "z"), ("w", "x", "y", "ricin"), ("SARS-CoV-2", "x", "y", "z")],
        Control(covid, RETAIN, tokenizer): [
            ("w", "x", "sunrofloleaf kisunki leafro floro roro", "z"),
            ("w", "x", "y", "kisun leafroleaf flo floki roro"),
            ("kisun kisunleaf leaf. leafflo leaf ki kisunki sunsun", "x", "y", "z"),
        ],
    }
    for perturb, choices in expected.items():
        assert [perturb(question).choices for question in QUESTIONS[:3]] == choices


@pytest.mark.parametrize("place", PLACES, ids=lambda place: type(place).__name__)
@pytest.mark.parametrize("kind", ["given", "sentence", "1", "4", "16"])
@pytest.mark.parametrize("joining", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_perturbed_and_control_differ_in_equally_many_tokens_at_the_same_place(
    place: Place, kind: str, joining: bool, count: int
) -> None:
    tokenizer = TOKENIZERS[joining]
    perturbation = Perturbation(texts(kind, tokenizer), place, count=count, seed=5)
    control = Control(perturbation, RETAIN, tokenizer)
    for question in QUESTIONS[:12]:
        perturbed, plain = perturbation(question), control(question)
        assert perturbed.answer == plain.answer == question.answer
        assert perturbed.choices[question.answer] == plain.choices[question.answer] == question.choices[question.answer]
        first, second = (tokenizer.encode(prompt(changed)) for changed in (perturbed, plain))
        assert first != second
        assert len(first) == len(second)
        assert masked(prompt(perturbed), perturbation.drawn(question.number)) == masked(
            prompt(plain), control.drawn(question.number)
        )


def masked(text: str, inserted: list[str]) -> str:
    """The prompt with a sign instead of each inserted text, the longest first."""
    for index, insert in sorted(enumerate(inserted), key=lambda pair: -len(pair[1])):
        assert insert in text
        text = text.replace(insert, f"<{index}>", 1)
    return text


def test_a_control_is_text_of_its_corpus() -> None:
    tokenizer = TOKENIZERS[False]
    control = Control(Perturbation(texts("given", tokenizer), count=3), RETAIN, tokenizer)
    corpus = " ".join(" ".join(text.split()) for text in RETAIN)
    for number in range(30):
        drawn = control.drawn(number)
        assert len(set(drawn)) == 3
        assert all(f" {text}" in corpus for text in drawn)


def test_longer_n_grams_of_a_seed_begin_alike() -> None:
    tokenizer = TOKENIZERS[False]
    for number in range(20):
        drawn = [Perturbation(NGram([" ".join(FORGET)], tokenizer, n)).drawn(number)[0] for n in (1, 2, 4)]
        assert all(longer.startswith(shorter) for shorter, longer in pairwise(drawn))


def test_a_place_that_cannot_take_so_many_texts_is_refused() -> None:
    with pytest.raises(InputError, match="10 texts at once cannot go to position 'option'"):
        Perturbation(GivenText(("a",)), count=10)
