"""A tokenizer of whole words for the demo world."""

import re

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import FORGET, RETAIN, Knowledge

_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_WORD = r"\n|\w+|[^\w\s]"


def split_words(text: str) -> list[re.Match[str]]:
    """The words, signs and line ends of a text, as the tokenizer sees them.

    Example:
        >>> [match.group() for match in split_words("Answer: A")]
        ['Answer', ':', 'A']
    """
    return list(re.finditer(_WORD, text))


def vocabulary(knowledge: Knowledge) -> list[str]:
    """Every token in the order of its id: special ones, the line end, then words and signs sorted."""
    subjects = {**RETAIN, **FORGET}
    attributes = [attribute for own in subjects.values() for attribute in own]
    texts = [*phrases.every(), *subjects, *attributes, *knowledge.words()]
    found = {match.group() for text in texts for match in split_words(text)} - {"\n"}
    return [*_SPECIAL, "\n", *sorted(found)]


def tokenizer(knowledge: Knowledge) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, sign or line end, which begins every text with `<s>`.

    Spaces only part words, so " A" and "A" are the same token.
    """
    ids = {word: index for index, word in enumerate(vocabulary(knowledge))}
    fast = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    fast.pre_tokenizer = Split(Regex(_WORD), behavior="removed", invert=True)
    fast.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
