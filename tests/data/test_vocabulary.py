"""A model needs embeddings for what texts hold, not for every special token that its tokenizer has."""

from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import AnswerEvaluation, InputError, QuestionModule, TextSource, UnlearnDataModule
from lit_unlearn.answers.source import AnswerSource
from lit_unlearn.data.vocabulary import embeddings_taken
from tests.answers.asked import TEMPLATE, rows, write
from tests.tiny_world import tokenizer
from tests.training import demo_data, demo_module, quiet_trainer

IMAGE = "<image_soft_token>"
"""Gemma 3's, beyond the embeddings of its models of text alone."""


def with_image_token(folder: Path) -> int:
    """Gives a model's tokenizer a special token; returns how many it had before."""
    words = tokenizer()
    before = len(words)
    words.add_special_tokens({"extra_special_tokens": [IMAGE]})
    words.save_pretrained(folder)
    return before


@pytest.mark.parametrize(
    ("added", "taken"),
    [({}, 0), ({"extra_special_tokens": [IMAGE]}, 0), ({"pad_token": "<padding>"}, 1), ({"eos_token": "<end>"}, 1)],
)
def test_special_tokens_count_where_the_tokenizer_places_them(added: dict[str, Any], taken: int) -> None:
    words = tokenizer()
    before = len(words)
    words.add_special_tokens(added)
    assert embeddings_taken(words) == before + taken


def test_words_that_were_added_count() -> None:
    words = tokenizer()
    words.add_tokens(["one", "more"])
    assert embeddings_taken(words) == len(words)


def test_a_tokenizer_with_a_token_that_its_model_was_never_given_trains(world: Path, tmp_path: Path) -> None:
    tokens = with_image_token(tmp_path / "tokenizer")
    data = demo_data(world, tokenizer=str(tmp_path / "tokenizer"))
    quiet_trainer(tmp_path, max_steps=1).fit(demo_module(world), data)
    assert data.vocabulary == tokens


def test_a_text_with_such_a_token_is_refused(world: Path, tmp_path: Path) -> None:
    tokens = with_image_token(tmp_path / "tokenizer")
    (tmp_path / "texts.txt").write_text(f"the of and {IMAGE} in is a with was near under the of and in is a with\n" * 8)
    source = TextSource(str(tmp_path / "texts.txt"))
    data = UnlearnDataModule({"own": source}, {"own": source}, tokenizer=str(tmp_path / "tokenizer"))
    expected = rf"^data\.tokenizer: texts take {tokens + 1} tokens, the model has embeddings for {tokens}; .* such$"
    with pytest.raises(InputError, match=expected):
        quiet_trainer(tmp_path, max_steps=1).fit(demo_module(world), data)


def test_an_answer_with_such_a_token_is_refused(world: Path, tmp_path: Path) -> None:
    tokens = with_image_token(tmp_path / "tokenizer")
    asked = [one | {"question": f"{IMAGE} {one['question']}"} for one in rows("alchemy", 2)]
    source = AnswerSource(write(tmp_path / "asked.jsonl", asked), "forget", chat_template=TEMPLATE)
    data = demo_data(world, tokenizer=str(tmp_path / "tokenizer"), answers={"own": source})
    trainer = quiet_trainer(tmp_path, callbacks=[AnswerEvaluation()])
    with pytest.raises(InputError, match=rf"texts take {tokens + 1} tokens, the model has embeddings for {tokens};"):
        trainer.validate(QuestionModule(str(world / "model")), data, verbose=False)
