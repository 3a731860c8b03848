"""A soft prefix: vectors before a prompt, trained so that the right letters come (embedding-space attack).

Schwinn et al. 2024, "Soft prompt threats" (arXiv 2402.09063), attack unlearned models so.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.data.draws import sample
from lit_unlearn.data.vocabulary import embeddings_taken
from lit_unlearn.errors import InputError, check_above, check_at_least
from lit_unlearn.questions.answer_texts import AnswerText
from lit_unlearn.questions.batches import Query, QueryBatch, QueryBatches
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.scores import choice_scores
from lit_unlearn.questions.segmentation import AnyQuery
from lit_unlearn.questions.source import Question
from lit_unlearn.running.hooks import replaced_embeddings

_MEASURED = 1000
"""Tokens whose embeddings say how large these are."""
_PADDING = 0
"""What `QueryBatches` pads with."""


@dataclass(frozen=True)
class Budget:
    """What an attacker spends.

    Raises:
        InputError: a number is below 1, or the learning rate not above 0.
    """

    vectors: int = 8
    """Of the prefix."""
    steps: int = 100
    """Of Adam."""
    batch_size: int = 16
    """Questions of a step."""
    learning_rate: float = 1.0
    """In root mean squares of the model's embeddings."""

    def __post_init__(self) -> None:
        for name in ("vectors", "steps", "batch_size"):
            check_at_least(f"soft prefix: {name}", getattr(self, name), 1)
        check_above("soft prefix: learning_rate", self.learning_rate, 0)


class Placeholders:
    """Puts tokens that stand for the vectors into queries, after the special tokens that begin them.

    Args:
        tokenizer: the model's.
        count: of vectors.
        queries: all that are asked; the token is one that none of them has.
        longest: tokens that the model reads; what becomes longer loses its beginning, and is cut. None cuts nothing.

    Raises:
        InputError: the queries have every token of the vocabulary.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        count: int,
        queries: Sequence[Query | Cloze],
        *,
        longest: int | None = None,
    ) -> None:
        used = {_PADDING, *tokenizer.all_special_ids}
        for query in queries:
            used.update(*(ids for ids in _ids(query)))
        free = next((token for token in reversed(range(embeddings_taken(tokenizer))) if token not in used), None)
        if free is None:
            raise InputError("soft prefix: the questions have every token of the vocabulary; ask fewer questions")
        self.token = free
        self.count = count
        self.longest = longest
        self._begins = frozenset(tokenizer.all_special_ids) - {tokenizer.unk_token_id}

    def __call__(self, query: AnyQuery) -> AnyQuery:
        """The query with the placeholders, those of its texts too."""
        if isinstance(query, Cloze):
            return cast(AnyQuery, query._replace(options=[*map(self._text, query.options)]))
        text = None if query.text is None else self._text(query.text)
        cut = query.cut or self._over(query.input_ids) > 0
        return cast(AnyQuery, query._replace(input_ids=self._put(query.input_ids), text=text, cut=cut))

    def given(self, model: PreTrainedModel, vectors: Tensor) -> AbstractContextManager[None]:
        """Within it the model reads the vectors `[count, dim]` at the placeholders."""
        return replaced_embeddings(model.get_input_embeddings(), self.token, vectors)

    def _text(self, text: AnswerText) -> AnswerText:
        return text._replace(input_ids=self._put(text.input_ids), cut=text.cut or self._over(text.input_ids) > 0)

    def _put(self, ids: Sequence[int]) -> list[int]:
        start = next((place for place, token in enumerate(ids) if token not in self._begins), len(ids))
        return [*ids[:start], *[self.token] * self.count, *ids[start + self._over(ids) :]]

    def _over(self, ids: Sequence[int]) -> int:
        """Tokens that there would be too many."""
        return 0 if self.longest is None else max(0, len(ids) + self.count - self.longest)


def apart(questions: Sequence[Question], share: float, *, seed: int) -> tuple[list[Question], list[Question]]:
    """Questions to train on and questions to judge by; none of these has a right answer that is one of those.

    Args:
        questions: of a set.
        share: of the different right answers that are trained on.
        seed: of the draw.

    Raises:
        InputError: one of the two would be empty.

    Example:
        >>> ask = lambda number: Question("?", ("a", "b", "c", "d"), number % 4, "letters", number)
        >>> train, judge = apart([ask(number) for number in range(8)], 0.5, seed=0)
        >>> len(train), len(judge), {one.answer for one in train} & {one.answer for one in judge}
        (4, 4, set())
    """
    right = list(dict.fromkeys(question.choices[question.answer] for question in questions))
    trained = set(sample(right, round(share * len(right)), "trained answers", seed))
    parts = (
        [one for one in questions if one.choices[one.answer] in trained],
        [one for one in questions if one.choices[one.answer] not in trained],
    )
    if not all(parts):
        raise InputError(
            f"soft prefix: a share {share:g} of {len(right)} different right answers leaves none to train on or none "
            "to judge by; give another share, or more questions"
        )
    return parts


def learn_prefix(
    model: PreTrainedModel, queries: Sequence[Query], placeholders: Placeholders, budget: Budget, *, seed: int
) -> Tensor:
    """Trains a prefix by the negative log-probability of the right options' letters; the model stays as it is.

    Args:
        model: in eval mode, without trainable parameters, on the device where it runs.
        queries: with the placeholders, letters asked for.
        placeholders: where the vectors stand.
        budget: of the training.
        seed: of the first vectors (embeddings of drawn tokens) and of the questions' order.

    Returns:
        float32 `[vectors, dim]`.
    """
    embeddings = _some_embeddings(model, max(budget.vectors, _MEASURED), seed)
    vectors = embeddings[: budget.vectors].clone().requires_grad_()
    scale = float(embeddings.square().mean().sqrt())
    optimizer = torch.optim.Adam([vectors], lr=budget.learning_rate * scale)
    with torch.enable_grad(), placeholders.given(model, vectors):
        for batch in islice(_batches(queries, budget.batch_size, seed), budget.steps):
            moved = {name: value.to(vectors.device) for name, value in cast(dict[str, Tensor], batch).items()}
            scores = choice_scores(model, cast(QueryBatch, moved))
            optimizer.zero_grad()
            (-scores.gather(-1, moved["answer"][:, None]).mean()).backward()
            optimizer.step()
    return vectors.detach()


@torch.no_grad()
def _some_embeddings(model: PreTrainedModel, count: int, seed: int) -> Tensor:
    """float32 `[count, dim]` of drawn tokens, as the model's embedding gives them: some scale what they look up."""
    embedding = model.get_input_embeddings()
    weight = cast(Tensor, embedding.weight)
    drawn = sample(range(len(weight)), count, "soft prefix", seed)
    found: Tensor = embedding(torch.tensor(drawn, device=weight.device))
    return found.float()


def _batches(queries: Sequence[Query], size: int, seed: int) -> Iterator[QueryBatch]:
    """Without end; every query comes before any comes again."""
    turn, waiting = 0, list[Query]()
    while True:
        while len(waiting) < size:
            waiting += sample(queries, len(queries), "soft prefix order", seed, turn)
            turn += 1
        taken, waiting = [query._replace(text=None) for query in waiting[:size]], waiting[size:]
        longest = max(len(query.input_ids) for query in taken)
        yield QueryBatches(taken, max_tokens=size * longest, padding_id=_PADDING, packed=False)[0]


def _ids(query: Query | Cloze) -> list[list[int]]:
    if isinstance(query, Cloze):
        return [option.input_ids for option in query.options]
    return [query.input_ids, *([] if query.text is None else [query.text.input_ids])]
