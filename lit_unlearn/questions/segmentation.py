"""The same text in other tokens: a word's usual token gives way to two that spell it."""

from collections.abc import Sequence
from typing import TypeVar, cast

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.draws import chance, uniform
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_texts import AnswerText
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze

AnyQuery = TypeVar("AnyQuery", bound=Query | Cloze)
_KEPT = 2
"""Tokens before the answer that are not split: those of `Answer:`."""


class Segmentation:
    """Splits a share of a query's tokens in two, at a drawn place, so that the text stays the same.

    Args:
        tokenizer: the model's.
        share: of the tokens that can be split.
        seed: seed of the draws.
        longest: tokens that the model reads; a prompt that would become longer stays as it is. None: any number.

    Raises:
        InputError: the share is not above 0 and at most 1.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, share: float, seed: int, longest: int | None = None
    ) -> None:
        if not 0 < share <= 1:
            raise InputError(f"segmentation: share {share:g} must be above 0 and at most 1")
        self.tokenizer = tokenizer
        self.share = share
        self.seed = seed
        self.longest = longest
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._pieces = {token: piece for piece, token in self._ids.items()}
        self._special = special_tokens(tokenizer)
        self._splits: dict[int, list[tuple[int, int]]] = {}
        self._before: int = tokenizer("A", add_special_tokens=False)["input_ids"][0]

    def __call__(self, query: AnyQuery) -> AnyQuery:
        """The query, and the right answer's text or the options, split so; letters and answers keep their tokens."""
        if isinstance(query, Cloze):
            options = [self._text(option, query.number) for option in query.options]
            return cast(AnyQuery, query._replace(options=options))
        text = None if query.text is None else self._text(query.text, query.number)
        ids = self.split(query.input_ids, number=query.number)
        return cast(AnyQuery, query._replace(input_ids=ids, text=text))

    def split(self, ids: Sequence[int], *, number: int, kept: int = _KEPT) -> list[int]:
        """Token ids that spell the same.

        Args:
            ids: of a prompt.
            number: the question's.
            kept: number of last tokens that stay unchanged.
        """
        found: list[int] = []
        for place, token in enumerate(ids):
            splits = self.splits(token) if place < len(ids) - kept else []
            if splits and chance(self.share, "split", self.seed, number, place):
                found += splits[uniform(len(splits), "place", self.seed, number, place)]
            else:
                found.append(token)
        return [*ids] if self.longest is not None and len(found) > self.longest else found

    def splits(self, token: int) -> list[tuple[int, int]]:
        """The pairs of tokens that spell a token."""
        if token not in self._splits:
            self._splits[token] = [*self._found(token)]
        return self._splits[token]

    def _found(self, token: int) -> list[tuple[int, int]]:
        piece = self._pieces.get(token, "")
        if token in self._special:
            return []
        pairs = [(self._ids.get(piece[:cut]), self._ids.get(piece[cut:])) for cut in range(1, len(piece))]
        whole = self._decoded(token)
        return [
            (first, second)
            for first, second in pairs
            if first is not None and second is not None and self._decoded(first, second) == whole
        ]

    def _decoded(self, *tokens: int) -> str:
        """The text after another token: at a text's beginning, some tokenizers leave out a space."""
        return str(self.tokenizer.decode([self._before, *tokens], clean_up_tokenization_spaces=False))

    def _text(self, text: AnswerText, number: int) -> AnswerText:
        return text._replace(input_ids=self.split(text.input_ids, number=number, kept=_KEPT + len(text.answer) - 1))
