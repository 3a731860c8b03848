"""Questions, tokenizers of the usual kinds that know their words, tiny models, and the harness to compare with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import transformers
from lm_eval.models.huggingface import HFLM
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.source import Question, prompt
from tests.families import FAMILIES

QUESTIONS = [
    Question(
        f" Which word comes {'long ' * (number % 5)}after “{'salt' * (number % 3)}”?\n",
        (f"word {number}", "naïve  ", "SARS-CoV-2.", f"{number * 7}" * (number % 4 + 1)),
        number % 4,
        "moon alchemy",
        number,
    )
    for number in range(12)
]
MIXED = [
    replace(question, choices=(*question.choices, *map(str, range(6)))[: 3 + number % 8], answer=number % 3)
    for number, question in enumerate(QUESTIONS)
]
"""With 3 to 10 options."""
PROMPTS = [prompt(question) for question in QUESTIONS] + [f"Answer: {letter}" for letter in LETTERS * 9]


def trained(fast: Tokenizer, *special: str, bos: bool) -> PreTrainedTokenizerFast:
    """Learns the prompts; special tokens begin with `<s>`."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {
        "special_tokens": ["<s>", *special],
        "initial_alphabet": alphabet,
        "show_progress": False,
    }
    fast.train_from_iterator(PROMPTS, trainers.BpeTrainer(vocab_size=480, **options))
    if bos:
        fast.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="<s>")


def byte_level(*, bos: bool) -> PreTrainedTokenizerFast:
    """As GPT-2 and Llama 3 have."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return trained(fast, bos=bos)


def sentence_piece() -> PreTrainedTokenizerFast:
    """As Llama 2 and Mistral have: a space becomes a mark before the word, one more begins the text."""
    fast = Tokenizer(models.BPE(unk_token="<unk>"))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    return trained(fast, "<unk>", bos=True)


def word_level() -> PreTrainedTokenizerFast:
    """As the demo has: whole words, signs and line ends; spaces only part them."""
    split = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), behavior="removed", invert=True)
    words = sorted({word for text in PROMPTS for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {word: index for index, word in enumerate(["<s>", "<unk>", *words])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = split
    fast.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="<s>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte_level": lambda: byte_level(bos=False),
    "byte_level_bos": lambda: byte_level(bos=True),
    "sentence_piece": sentence_piece,
    "word_level": word_level,
}


def random_model(family: str, **changes: Any) -> PreTrainedModel:
    name, options = FAMILIES[family]
    # So wide that the prompt, not its last token alone, decides the prediction.
    config = getattr(transformers, name)(**(options | {"initializer_range": 0.5} | changes), vocab_size=480)
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 0, 0, 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return model


def harness(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, **options: Any) -> HFLM:
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu", **options)


def queries_of(*lengths: int) -> list[Query]:
    return [Query([9] * length, [1, 2, 3, 4], 0, number) for number, length in enumerate(lengths)]
