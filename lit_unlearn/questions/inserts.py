"""Which texts go into a question: given ones, n-grams or sentences of a corpus."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.draws import sample, uniform
from lit_unlearn.errors import InputError

_ATTEMPTS = 200
_SENTENCE_WORDS = (5, 50)


class Around(NamedTuple):
    """What stands around a text in its place, as far as it matters to tokenizers."""

    before: str
    """They treat a word after a space in their own ways."""
    after: str
    """Some join a sign and the line's end."""


class Inserts(Protocol):
    """Draws texts for a question: a pure function of the seed and the question's number."""

    def draw(self, number: int, count: int, *, seed: int, around: Around) -> list[str]:
        """`count` texts for the question of this number.

        Args:
            number: the question's.
            count: how many.
            seed: seed of the draw.
            around: what stands around each text, `Place.around`.
        """


@dataclass(frozen=True)
class GivenText:
    """One of the given texts, such as forget tokens, drawn uniformly.

    Raises:
        InputError: no text, or an empty one.

    Example:
        >>> GivenText(("SARS-CoV-2",)).draw(7, 1, seed=0, around=Around("A. ", ""))
        ['SARS-CoV-2']
    """

    texts: tuple[str, ...]
    """Drawn from uniformly; several at once differ, up to the number of texts."""

    def __post_init__(self) -> None:
        if not self.texts or not all(text.strip() for text in self.texts):
            raise InputError(f"perturbation.texts: {list(self.texts)} has nothing to put in; give at least one text")

    def draw(self, number: int, count: int, *, seed: int, around: Around) -> list[str]:
        """`count` of the texts."""
        del around
        return sample(self.texts, count, "text", seed, number)


@dataclass(frozen=True, eq=False)
class NGram:
    """A random n-gram of a corpus: the forget stream's, or a control's.

    An n-gram is n tokens of the tokenizer that begin with a word of the corpus, as text without spaces around it. Row
    and word are drawn uniformly, until in its place the n-gram is exactly those n tokens again: forget and control
    n-grams of the same n are equally long. The n-grams of one seed begin alike whatever n is.

    Raises:
        InputError: n is below 1, there are no texts, or none of many draws has n such tokens.
    """

    texts: Sequence[str] = field(repr=False)
    """The corpus, one text per row."""
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    """The model's."""
    n: int
    """Tokens of an n-gram."""

    def __post_init__(self) -> None:
        _check(self.texts, [self.n])

    def draw(self, number: int, count: int, *, seed: int, around: Around) -> list[str]:
        """`count` different n-grams."""
        return draw_ngrams(self.texts, self.tokenizer, [self.n] * count, number=number, seed=seed, around=around)


@dataclass(frozen=True, eq=False)
class Sentence:
    """A random sentence of 5 to 50 words of a corpus, from wherever one ends in `.`, `!` or `?`.

    Raises:
        InputError: none of many drawn rows has such a sentence.
    """

    texts: Sequence[str] = field(repr=False)
    """The corpus, one text per row."""

    def draw(self, number: int, count: int, *, seed: int, around: Around) -> list[str]:
        """`count` different sentences."""
        del around
        found: list[str] = []
        for attempt in range(_ATTEMPTS * count):
            row = self.texts[uniform(len(self.texts), "row", seed, number, attempt)]
            sentences = [text for text in _sentences(row) if text not in found]
            found += sentences and [sentences[uniform(len(sentences), "sentence", seed, number, attempt)]]
            if len(found) == count:
                return found
        low, high = _SENTENCE_WORDS
        raise InputError(
            f"perturbation.n: {_ATTEMPTS * count} rows of the texts have no {count} sentences of {low} to {high} words "
            "that end in . ! or ?; set n to a number of tokens"
        )


def draw_ngrams(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    lengths: Sequence[int],
    *,
    number: int,
    seed: int,
    around: Around,
) -> list[str]:
    """Different random n-grams of a corpus, as NGram describes them.

    Args:
        texts: the corpus.
        tokenizer: the model's.
        lengths: the tokens of each.
        number: the question's.
        seed: seed of the draws.
        around: what stands around each in its place.

    Raises:
        InputError: a length is below 1, there are no texts, or none of many draws has that number of tokens.
    """
    _check(texts, lengths)
    found: list[str] = []
    attempts = iter(range(_ATTEMPTS * len(lengths)))
    for n in lengths:
        for attempt in attempts:
            words = texts[uniform(len(texts), "row", seed, number, attempt)].split()
            start = uniform(len(words), "word", seed, number, attempt)
            text = first_tokens(words[start : start + n], n, tokenizer, around=around)
            if text and text not in found:
                found.append(text)
                break
        else:
            raise InputError(
                f"perturbation.n: none of {_ATTEMPTS} places in the texts begins {'another' if found else 'an'} n-gram "
                f"of {n} tokens; lower n or give longer texts"
            )
    return found


def first_tokens(words: Sequence[str], n: int, tokenizer: PreTrainedTokenizerBase, *, around: Around) -> str:
    """The text of the first n tokens of some words; empty where in its place it would not be the same n tokens again.

    Args:
        words: n of them are enough.
        n: number of tokens.
        tokenizer: the model's.
        around: what stands around the text in its place.
    """
    ids = token_ids(" ".join(words), tokenizer, around=around)[:n]
    if len(ids) < n or set(ids) & set(tokenizer.all_special_ids):
        return ""
    text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).strip()
    return text if token_ids(text, tokenizer, around=around) == ids else ""


def token_ids(text: str, tokenizer: PreTrainedTokenizerBase, *, around: Around) -> list[int]:
    """The tokens of a text in its place: those that come in between with it."""
    before, after = around
    parts = [before.rstrip(" "), f"{before}{text}{after}", "A", f"A{after}"]
    head, whole, sign, tail = tokenizer(parts, add_special_tokens=False)["input_ids"]
    return list(whole[len(head) : len(whole) - len(tail) + len(sign)])


def _check(texts: Sequence[str], lengths: Sequence[int]) -> None:
    if min(lengths) < 1 or not len(texts):
        raise InputError(f"perturbation.n: {min(lengths)} tokens of {len(texts)} texts; give 1 or more of each")


def _sentences(row: str) -> list[str]:
    """The sentences of a row that are neither too short nor too long."""
    low, high = _SENTENCE_WORDS
    pieces = re.split(r"(?<=[.!?]) ", " ".join(row.split()))
    return [piece for piece in pieces if piece[-1:] in (".", "!", "?") and low <= len(piece.split()) <= high]
