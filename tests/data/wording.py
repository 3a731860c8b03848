"""Invented corpora, questions, and tokenizers that split their words, for tests of perturbations."""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lit_unlearn.questions.source import Question

QUESTIONS = [
    Question(f"Which thing, of q{number} things, is\nnot a number?", ("w", "x", "y", "z"), number % 4, "s", number)
    for number in range(600)
]
_JOINING = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
"""Signs and the line's end after them become one token, as in Llama 3 and Qwen."""


def corpus(syllables: str, rows: int = 30) -> list[str]:
    """Text whose words tokenizers must split, in sentences of 8 words."""
    source, parts = random.Random(syllables), syllables.split()
    words = ["".join(source.choices(parts, k=source.randint(1, 4))) for _ in range(40 * rows)]
    words = [f"{word}." if index % 8 == 7 else word for index, word in enumerate(words)]
    return [" ".join(words[40 * row : 40 * row + 40]) + "\n" for row in range(rows)]


FORGET, RETAIN = corpus("vir tox gen aé zu"), corpus("flo leaf ro sun ki")


def byte_tokenizer(*, joining: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE too small to hold the corpora's words whole.

    Args:
        joining: whether a sign and the end of its line become one token.
    """
    fast = Tokenizer(models.BPE())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not joining)
    fast.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_JOINING), "isolated"), split]) if joining else split
    )
    fast.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=345, special_tokens=["</s>"], initial_alphabet=letters, show_progress=False
    )
    lines = [text.replace(". ", ".\n") for text in FORGET + RETAIN]
    fast.train_from_iterator(FORGET + RETAIN + (lines if joining else []), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=fast, eos_token="</s>")
