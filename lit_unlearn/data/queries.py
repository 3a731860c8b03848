"""Questions as token ids, the lm-eval harness' own, and their batches."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.questions import LETTERS, Question, prompt
from lit_unlearn.errors import InputError


class Query(NamedTuple):
    """A question as token ids."""

    input_ids: list[int]
    choices: list[int]
    """The tokens of " A" to " D"."""
    answer: int
    number: int


class QueryBatch(TypedDict):
    """Queries, padded to the left: the next token of every row is asked of its last position."""

    input_ids: Tensor
    """`[batch, seq]`."""
    attention_mask: Tensor
    """`[batch, seq]`, 0 at padding."""
    choices: Tensor
    """`[batch, 4]`, the tokens of the letters."""
    answer: Tensor
    """`[batch]`, index of the right option."""
    number: Tensor
    """`[batch]`, the question's number in its set."""
    valid: Tensor
    """`[batch]` bool, False at a row that only fills up and is never counted."""


def encode(
    questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None = None
) -> list[Query]:
    """The queries of questions, token by token as the harness' HFLM encodes them.

    Args:
        questions: of one set.
        tokenizer: the model's.
        max_length: the model's; longer prompts lose their beginning, as in the harness. None cuts nothing.

    Raises:
        InputError: no questions, or the tokenizer's " A" to " D" are not four different tokens.
    """
    if not questions:
        raise InputError("questions: none to encode; check their source")
    prompts = [prompt(question) for question in questions]
    # Every prompt ends in the same line, so the tokens after it are the same for all.
    letters = _letters(prompts[0], tokenizer)
    return [
        Query(ids[-max_length:] if max_length else ids, letters, question.answer, question.number)
        for question, ids in zip(questions, tokenizer(prompts)["input_ids"], strict=True)
    ]


class QueryBatches(Dataset[QueryBatch]):
    """Item i is the i-th batch of one process; every process has equally many, and every query is in one of them.

    Longest first, so that a batch too large for the memory fails at once. Where the batches of all processes would not
    be equally many, the last are of one row that is not valid.

    Args:
        queries: of one set, in any order.
        max_tokens: of one batch, padding included; a longer query is a batch of its own.
        padding_id: the token at padding; no model attends to it.
        share: (rank, number of processes).
    """

    def __init__(
        self, queries: Sequence[Query], *, max_tokens: int, padding_id: int = 0, share: tuple[int, int] = (0, 1)
    ) -> None:
        self.queries = sorted(queries, key=lambda query: (-len(query.input_ids), query.number))
        self.padding_id = padding_id
        self.share = share
        self._parts = _parts([len(query.input_ids) for query in self.queries], max_tokens)

    def __len__(self) -> int:
        """Batches of each process."""
        return -(-len(self._parts) // self.share[1])

    def __getitem__(self, index: int) -> QueryBatch:
        rank, world = self.share
        place = range(rank, world * len(self), world)[index]
        if place < len(self._parts):
            return _collate(self.queries[self._parts[place]], self.padding_id, valid=True)
        return _collate(self.queries[-1:], self.padding_id, valid=False)


def query_loader(batches: QueryBatches, *, num_workers: int = 0) -> DataLoader[QueryBatch]:
    """The batches of one process, in their order."""
    # A DistributedSampler of one replica: Lightning would share the batches of any other out once more.
    sampler: DistributedSampler[QueryBatch] = DistributedSampler(batches, num_replicas=1, rank=0, shuffle=False)
    return DataLoader(batches, sampler=sampler, batch_size=None, num_workers=num_workers)


def _letters(context: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token of each letter: what the harness' `_encode_pair` leaves after the context's tokens."""
    start = len(tokenizer.encode(context))
    tokens = {letter: tokenizer.encode(f"{context} {letter}")[start:] for letter in LETTERS}
    if any(len(ids) != 1 for ids in tokens.values()) or len({ids[0] for ids in tokens.values()}) < len(LETTERS):
        raise InputError(
            f"tokenizer {tokenizer.name_or_path!r}: ' A' to ' D' must be four different single tokens, they are "
            f"{list(tokens.values())}; give the model's own tokenizer, or evaluate with lm_eval, which sums tokens"
        )
    return [ids[0] for ids in tokens.values()]


def _parts(lengths: Sequence[int], max_tokens: int) -> list[slice]:
    """Parts of descending lengths, each with as many rows as the tokens allow, at least one."""
    parts, start = [], 0
    while start < len(lengths):
        stop = start + max(1, max_tokens // lengths[start])
        parts.append(slice(start, min(stop, len(lengths))))
        start = stop
    return parts


def _collate(queries: Sequence[Query], padding_id: int, *, valid: bool) -> QueryBatch:
    length = max(len(query.input_ids) for query in queries)
    padding = [length - len(query.input_ids) for query in queries]
    rows = [[padding_id] * count + query.input_ids for count, query in zip(padding, queries, strict=True)]
    return QueryBatch(
        input_ids=torch.tensor(rows),
        attention_mask=torch.tensor([[0] * count + [1] * (length - count) for count in padding]),
        choices=torch.tensor([query.choices for query in queries]),
        answer=torch.tensor([query.answer for query in queries]),
        number=torch.tensor([query.number for query in queries]),
        valid=torch.full((len(queries),), valid),
    )
