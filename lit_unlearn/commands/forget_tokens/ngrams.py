"""Documents of a stream, n-grams drawn from them, and how similar the two are to a frozen model."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.commands.forget_tokens.similarity import similarity
from lit_unlearn.data.draws import sample
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.questions.inserts import first_tokens, token_ids
from lit_unlearn.questions.places import Option

Scored = tuple[int, str, float]
"""Tokens of an n-gram, its text, and its similarity to its document."""


class Document(NamedTuple):
    """A row of a stream."""

    number: int
    """Its place in the stream."""
    text: str
    input_ids: list[int]
    """As in training: cut after `max_length` tokens."""


class Settings(NamedTuple):
    """How much is looked at."""

    documents: int
    """Rows of the stream, at most."""
    ngrams_per_document: int
    """N-grams of each length, at most."""
    lengths: tuple[int, ...]
    """Tokens of the n-grams."""
    seed: int
    """Seed of the draws."""


def draw_documents(
    sources: Sequence[TextSource], tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int
) -> list[Document]:
    """Uniformly drawn rows of a stream, in its order; all of them where there are no more.

    Args:
        sources: of the stream, one after the other.
        tokenizer: the model's.
        count: how many.
        seed: seed of the draw.

    Raises:
        InputError: a source cannot be read.
    """
    texts = [load_texts(source)["text"] for source in sources]
    rows = [(part, row) for part, column in enumerate(texts) for row in range(len(column))]
    drawn = sorted(sample(range(len(rows)), min(count, len(rows)), "documents", seed))
    return [
        _document(number, texts[part][row], tokenizer, sources[part])
        for number in drawn
        for part, row in [rows[number]]
    ]


def draw_ngrams(
    document: Document, n: int, tokenizer: PreTrainedTokenizerBase, count: int, *, seed: int
) -> list[tuple[str, list[int]]]:
    """Up to `count` different n-grams of a document: text, and tokens as they stand both in its row and in an option.

    They begin with uniformly drawn words.
    """
    words = document.text.split()[: len(document.input_ids)]  # no word is less than a token
    found: dict[str, list[int]] = {}
    for start in sample(range(len(words)), len(words), "ngrams", seed, document.number, n):
        text = first_tokens(words[start : start + n], n, tokenizer, around=Option.around)
        ids = token_ids(text, tokenizer, around=Option.around)
        if text and _contains(document.input_ids, ids):
            found[text] = ids
        if len(found) == count:
            break
    return list(found.items())


def score(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerBase,
    represent: Representations,
    settings: Settings,
) -> list[Scored]:
    """The similarity of n-grams, each represented alone, to their own document."""
    wholes = represent.of_rows([document.input_ids for document in documents])
    scored: list[Scored] = []
    for n in settings.lengths:
        drawn = [
            (index, text, ids)
            for index, document in enumerate(documents)
            for text, ids in draw_ngrams(document, n, tokenizer, settings.ngrams_per_document, seed=settings.seed)
        ]
        if drawn:
            places, texts, rows = zip(*drawn, strict=True)
            values = similarity(represent.alone(rows), wholes[list(places)]).tolist()
            scored += [(n, text, value) for text, value in zip(texts, values, strict=True)]
    return scored


def _document(number: int, text: str, tokenizer: PreTrainedTokenizerBase, source: TextSource) -> Document:
    return Document(number, text, tokenizer(text, truncation=True, max_length=source.max_length)["input_ids"])


def _contains(row: Sequence[int], ids: Sequence[int]) -> bool:
    return any(row[start : start + len(ids)] == ids for start in range(len(row) - len(ids) + 1))
