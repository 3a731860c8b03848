import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lit_unlearn.commands.analysis.insertion import FORMS, marked_queries, spans
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.questions.places import Option, Place, Prefix, Stem
from lit_unlearn.questions.sets import Variant
from lit_unlearn.questions.source import Question, prompt
from tests import tiny_world

QUESTION = Question(" Which the plant of the\n  the garden?", ("the rose", "a the", "A", "rose A."), 2, "gardening", 7)
TEXTS = ["SARS-CoV-2", "A", "the", "the rose", "a rose A.", "B. the rose", "é 12"]
"""Among them what begins or ends as its surroundings do."""


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's: a word's token holds the space before it."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return trained(fast, trainer)


def metaspace() -> PreTrainedTokenizerFast:
    """As Llama's: bytes where no token fits, a mark instead of a space, the end of a line apart."""
    fast = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    lines = pre_tokenizers.Split("\n", behavior="isolated")
    fast.pre_tokenizer = pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace(prepend_scheme="first")])
    names = ["<unk>", *(f"<0x{value:02X}>" for value in range(256))]
    return trained(fast, trainers.BpeTrainer(vocab_size=340, special_tokens=names, limit_alphabet=40))


def joined_lines() -> PreTrainedTokenizerFast:
    """As GPT-4's: a sign and the end of its line are one token."""
    split = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\s\w]+[\r\n]*|\s*[\r\n]+|\s+"), behavior="isolated")
    words = {word for text in corpus() for word, _ in split.pre_tokenize_str(text)}
    fast = Tokenizer(models.WordLevel({word: place for place, word in enumerate(["<unk>", *sorted(words)])}, "<unk>"))
    fast.pre_tokenizer = split
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>")


def corpus() -> list[str]:
    return [prompt(QUESTION), *(f"the {text}. {text}\n" for text in TEXTS), "A B C D\nA. B. C. D.\n"] * 3


def trained(fast: Tokenizer, trainer: trainers.Trainer) -> PreTrainedTokenizerFast:
    fast.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=fast)


FAST = {one.__name__: one for one in (byte_level, metaspace, joined_lines, tiny_world.tokenizer)}
PLACES = [(Option(), 1), (Option(), 3), (Stem(), 1), (Stem(), 2), (Prefix(), 1), (Prefix(), 2)]


def put(place: Place, texts: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """A perturbed prompt, and where the texts are in it."""
    marks = [f"<{number}>" for number in range(len(texts))]
    text, places = "", []
    for piece in re.split("(<[0-9]>)", prompt(place.put(QUESTION, marks, seed=5))):
        added = texts[marks.index(piece)] if piece in marks else piece
        if piece in marks:
            places.append((len(text), len(text) + len(added)))
        text += added
    assert text == prompt(place.put(QUESTION, texts, seed=5))
    return text, places


@pytest.mark.parametrize("build", FAST.values(), ids=FAST)
@pytest.mark.parametrize(("place", "count"), PLACES, ids=str)
def test_spans_are_the_tokens_that_hold_the_texts(
    build: Callable[[], PreTrainedTokenizerFast], place: Place, count: int
) -> None:
    tokenizer = build()
    for start in range(len(TEXTS)):
        texts = (TEXTS * 2)[start : start + count]
        text, places = put(place, texts)
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        expected = [
            [index - len(offsets) for index, (low, high) in enumerate(offsets) if low < stop and high > begin]
            for begin, stop in places
        ]
        assert [list(span) for span in spans(QUESTION, place, texts, tokenizer, seed=5)] == expected


@pytest.mark.parametrize(("place", "count"), PLACES, ids=str)
def test_a_tokenizer_without_offsets_does_as_well(place: Place, count: int) -> None:
    tokenizer: PreTrainedTokenizerBase = ByT5Tokenizer()
    text, places = put(place, TEXTS[:count])
    assert decoded(tokenizer, place, TEXTS[:count]) == [text[start:stop] for start, stop in places]


def decoded(
    tokenizer: PreTrainedTokenizerBase,
    place: Place,
    texts: Sequence[str],
    *,
    question: Question = QUESTION,
    seed: int = 5,
) -> list[str]:
    ids = tokenizer(prompt(place.put(question, texts, seed=seed)))["input_ids"]
    found = spans(question, place, texts, tokenizer, seed=seed)
    return [str(tokenizer.decode([ids[at] for at in span])) for span in found]


def test_texts_that_hold_what_stands_between_them_are_told_apart() -> None:
    question, texts = replace(QUESTION, question="Lost of name?"), ["the book of war", "of a name of"]
    found = [decoded(ByT5Tokenizer(), Stem(), texts, question=question, seed=seed) for seed in range(8)]
    assert texts in found
    assert texts[::-1] in found
    assert all(sorted(one) == sorted(texts) for one in found)


@pytest.mark.parametrize("place", [Option(), Stem(), Prefix()], ids=str)
def test_spaces_around_a_text_are_not_of_it(place: Place) -> None:
    texts = [" the  rose\n", "\nA rose "]
    assert sorted(decoded(ByT5Tokenizer(), place, texts)) == ["A rose", "the  rose"]


def test_every_form_of_a_question_is_marked(opened: Run) -> None:
    (name, forms), *others = marked_queries(opened, 4).items()
    assert (name, others, tuple(forms)) == ("retain/3-gram", [], FORMS)
    tokenizer = opened.tokenizer()
    for form, variant in zip(FORMS, [("3-gram", False), ("3-gram", True), ("default", False)], strict=True):
        for one in forms[form]:
            question = opened.data.asked[Variant("retain", *variant)][one.query.number]
            assert one.query.input_ids == tokenizer(prompt(question))["input_ids"]
            (span,) = one.spans
            assert len(span) == (1 if form == "as asked" else 3)
            assert tokenizer.decode([one.query.input_ids[at] for at in span]) in question.choices
    assert [one.query.number for one in forms["as asked"]] == [0, 1, 3, 4]


@pytest.mark.parametrize("position", ["stem", "prefix"])
def test_as_asked_nothing_stands_where_nothing_gives_way(elsewhere: Run, position: str) -> None:
    found = marked_queries(elsewhere, 6)[f"retain/{position}"]
    for perturbed, default in zip(found["perturbed"], found["as asked"], strict=True):
        (inserted,), (place,) = perturbed.spans, default.spans
        assert (len(place), place.stop) == (0, inserted.stop)
        assert default.query.input_ids[: place.start] == perturbed.query.input_ids[: inserted.start]


@pytest.mark.parametrize("control", [False, True])
def test_several_texts_are_those_that_were_drawn(elsewhere: Run, control: bool) -> None:
    tokenizer, perturb = elsewhere.tokenizer(), elsewhere.data.perturbations()[Variant("retain", "two", control)]
    for one in marked_queries(elsewhere, 6)["retain/two"]["control" if control else "perturbed"]:
        found = [str(tokenizer.decode([one.query.input_ids[at] for at in span])) for span in one.spans]
        assert sorted(found) == sorted(perturb.drawn(one.query.number))


@pytest.fixture(scope="module")
def elsewhere(opened: Run) -> Run:
    """The run with texts in the stem and before the question."""
    sources = "{stem: {n: 2, position: stem}, prefix: {n: 3, position: prefix}, two: {n: 2, position: stem, count: 2}}"
    return Run(opened.path, [f"--data.evaluation.perturbations={sources}"])
