"""Texts and questions of generated words, and a tokenizer to which each word is a token."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lit_unlearn.questions.answer_key import LETTERS

_WORDS = tuple(f"word{number}" for number in range(1000))
_SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>"}
_STEM, _CHOICE = 60, 10
"""Words of a question and of each of its options: about 120 tokens with the rest of the prompt."""


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of all words that texts are made of, and of the letters of answers."""
    known = [*_SPECIAL.values(), *LETTERS[:4], *_WORDS]
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, _SPECIAL["unk_token"]))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, **_SPECIAL)


def write_texts(path: Path, *, rows: int, tokens: int) -> None:
    """Writes rows of a given number of tokens as JSON lines; each file name has its own."""
    source = random.Random(path.name)
    _write(path, [{"text": _words(source, tokens)} for _ in range(rows)])


def write_questions(path: Path, count: int) -> None:
    """Writes questions with four options as JSON lines, all equally long."""
    source = random.Random(path.name)
    _write(path, [_question(source) for _ in range(count)])


def _question(source: random.Random) -> dict[str, object]:
    choices = [_words(source, _CHOICE) for _ in LETTERS[:4]]
    return {"question": _words(source, _STEM), "choices": choices, "answer": 0, "subject": "words"}


def _words(source: random.Random, count: int) -> str:
    return " ".join(source.choices(_WORDS, k=count))


def _write(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
