"""A tiny world for tests: invented text and a random model. It proves wiring, not unlearning."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, MistralConfig, PretrainedConfig, PreTrainedTokenizerFast

_SYLLABLES = ("ba", "do", "ki", "lu", "mer", "na", "po", "ri", "sa", "tu", "ve", "zo")
_FILLER = ("the", "of", "and", "in", "is", "a", "with", "was", "near", "under", ".", ",")
_LETTERS = ("A", "B", "C", "D", "Answer", ":", "?")
SUBJECTS = {"alchemy": 0, "navigation": 1, "gardening": 2}
"""Invented subjects, and the part of the vocabulary each takes its own words from."""


def write_demo(folder: Path, *, rows: int = 200, seed: int = 0) -> None:
    """Writes a random Mistral of 10 layers into `model/`, and the text of each subject into `SUBJECT.jsonl`.

    Args:
        folder: made where it does not exist.
        rows: rows of each text file.
        seed: seed of texts and weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        lines = (json.dumps({"text": text}) for text in texts(subject, rows, seed=seed))
        (folder / f"{subject}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = MistralConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=10,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,  # with the usual 0.02 so narrow a model's layers would hardly act
    )
    write_model(folder / "model", config, seed=seed)


def write_model(folder: Path, config: PretrainedConfig, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
    """Writes a random model of this configuration, with the demo's vocabulary, and the demo's tokenizer."""
    words = tokenizer()
    config.get_text_config().vocab_size = len(words)
    for part in (config, config.get_text_config()):
        part.pad_token_id, part.bos_token_id, part.eos_token_id = 0, 1, 2
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def texts(subject: str, rows: int, *, seed: int = 0) -> list[str]:
    """Texts of 12 to 60 words, half of them the subject's own."""
    source = random.Random(f"{subject} {seed}")
    own = _words(subject)
    return [
        " ".join(source.choice(own if source.random() < 0.5 else _FILLER) for _ in range(source.randint(12, 60)))
        for _ in range(rows)
    ]


def tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the demo's whole vocabulary, which begins every text with `<s>`."""
    words = [
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
        *_FILLER,
        *_LETTERS,
        *(word for subject in SUBJECTS for word in _words(subject)),
    ]
    fast = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    fast.pre_tokenizer = Whitespace()
    fast.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _words(subject: str) -> list[str]:
    """The subject's own words: three syllables, the first of them its mark."""
    mark = _SYLLABLES[SUBJECTS[subject]]
    return [mark + second + third for second in _SYLLABLES[3:] for third in _SYLLABLES[3:8]]
