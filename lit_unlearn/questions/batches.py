"""Questions as token ids, the lm-eval harness' own, and their batches."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, NotRequired, TypedDict, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from transformers import PreTrainedTokenizerBase

from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.answer_texts import AnswerText, TextRows, collate_texts, encode_texts
from lit_unlearn.questions.packing import Packed, Prompt, filled, pack, packed_length
from lit_unlearn.questions.shares import Size, batch_at, batches_each, fitting, own_batches
from lit_unlearn.questions.source import Question, prompt

AnyBatch = TypeVar("AnyBatch")


class Query(NamedTuple):
    """A question as token ids."""

    input_ids: list[int]
    choices: list[int]
    """The tokens of its options' letters, " A" and those after it."""
    answer: int
    number: int
    variant: int = 0
    """Which of the variants of a question it is."""
    cut: bool = False
    """Whether the prompt has lost its beginning."""
    text: AnswerText | None = None
    """The right answer's text after the question without options, where its likelihood is asked for."""


class QueryBatch(TypedDict):
    """Queries, padded to the left: the next token of every row is asked of its last position."""

    input_ids: Tensor
    """`[batch, seq]`."""
    attention_mask: Tensor
    """`[batch, seq]`, 0 at padding."""
    choices: Tensor
    """`[batch, options]`, the tokens of the letters; -1 where a question has fewer options than others."""
    answer: Tensor
    """`[batch]`, index of the right option."""
    number: Tensor
    """`[batch]`, the question's number in its set."""
    variant: Tensor
    """`[batch]`, which variant of the question it is."""
    valid: Tensor
    """`[batch]` bool, False at a row that only fills up and is never counted."""
    packed: NotRequired[Packed]
    """The same prompts in one row, for models that run it; in all batches of a set, or in none."""
    texts: NotRequired[TextRows]
    """The right answers' texts of some rows; in all batches of a set, or in none."""
    packed_texts: NotRequired[Packed]
    """The same texts in one row; where both `packed` and `texts` are."""


def encode(
    questions: Sequence[Question],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None = None,
    texts: bool = False,
) -> list[Query]:
    """The queries of questions, token by token as the harness' HFLM encodes them.

    Args:
        questions: of one set, all with the same `prefill`.
        tokenizer: the model's.
        max_length: the model's; longer prompts lose their beginning, as in the harness. None cuts nothing.
        texts: with the right answers' texts.

    Raises:
        InputError: no questions, or the tokenizer's letters are not different single tokens.
    """
    if not questions:
        raise InputError("questions: none to encode; check their source")
    prompts = [prompt(question) for question in questions]
    # Every prompt ends in the same line, so the tokens after it are the same for all.
    letters = _letters(prompts[0], tokenizer, max(len(question.choices) for question in questions))
    answers = encode_texts(questions, tokenizer, max_length=max_length) if texts else [None] * len(questions)
    return [
        Query(
            ids[-max_length:] if max_length else ids,
            letters[: len(question.choices)],
            question.answer,
            question.number,
            cut=max_length is not None and len(ids) > max_length,
            text=text,
        )
        for question, ids, text in zip(questions, tokenizer(prompts)["input_ids"], answers, strict=True)
    ]


class QueryBatches(Dataset[QueryBatch]):
    """Item i is the i-th batch of one process; every process has equally many, and every query is in one of them.

    The variants of a question, and then questions that begin alike, are in one batch as far as the tokens allow, and
    what they have in common is there once. Largest first, so that a batch too large for the memory fails at once. Where
    the batches of all processes would not be equally many, the last are of one row that is not valid.

    Args:
        queries: of one set, in any order.
        max_tokens: of one batch; a longer query is a batch of its own.
        padding_id: the token at padding; no model attends to it.
        share: (rank, number of processes).
        packed: for a model that runs prompts in one row (`running.shared_attention.shares`); if not, `max_tokens` is
            of rows with their padding, and those of similar length are in one batch.
    """

    def __init__(
        self,
        queries: Sequence[Query],
        *,
        max_tokens: int,
        padding_id: int = 0,
        share: tuple[int, int] = (0, 1),
        packed: bool = True,
    ) -> None:
        self.padding_id = padding_id
        self.share = share
        self.packed = packed
        if packed:
            parts = filled(_together(queries, max_tokens), max_tokens, prompts=_prompts)
            self._batches = [[query for part in batch for query in part] for batch in parts]
        else:
            ordered = sorted(queries, key=lambda query: (-len(query.input_ids), query.number, query.variant))
            self._batches = fitting(ordered, max_tokens, size=lambda query: Size(1, len(query.input_ids)))
        # What fills up a batch without a text: under FSDP every process runs the model as often as every other.
        self._filler = next((query.text for query in queries if query.text is not None), None)

    def __len__(self) -> int:
        """Batches of each process."""
        return batches_each(len(self._batches), self.share)

    @property
    def rows(self) -> int:
        """Prompts of this process."""
        return sum(map(len, own_batches(self._batches, self.share)))

    def __getitem__(self, index: int) -> QueryBatch:
        found = batch_at(index, len(self._batches), self.share)
        if found is None:
            return self._collate(self._batches[-1][-1:], valid=False)
        return self._collate(self._batches[found], valid=True)

    def _collate(self, queries: Sequence[Query], *, valid: bool) -> QueryBatch:
        batch = _collate(queries, self.padding_id, valid=valid)
        if self.packed:
            batch["packed"] = pack(_prompts(queries))
        if self._filler is not None:
            rows = {row: query.text for row, query in enumerate(queries) if query.text is not None} or {
                -1: self._filler
            }
            batch["texts"] = collate_texts([*rows.values()], [*rows], padding_id=self.padding_id)
            if self.packed:
                batch["packed_texts"] = pack([Prompt(text.input_ids, len(text.answer)) for text in rows.values()])
        return batch


def query_loader(batches: Dataset[AnyBatch], *, num_workers: int = 0) -> DataLoader[AnyBatch]:
    """The batches of one process, in their order."""
    # A DistributedSampler of one replica: Lightning would share the batches of any other out once more.
    sampler: DistributedSampler[AnyBatch] = DistributedSampler(batches, num_replicas=1, rank=0, shuffle=False)
    return DataLoader(batches, sampler=sampler, batch_size=None, num_workers=num_workers)


def _letters(context: str, tokenizer: PreTrainedTokenizerBase, count: int) -> list[int]:
    """The token of each letter: what the harness' `_encode_pair` leaves after the context's tokens."""
    start = len(tokenizer.encode(context))
    tokens = {letter: tokenizer.encode(f"{context} {letter}")[start:] for letter in LETTERS[:count]}
    if any(len(ids) != 1 for ids in tokens.values()) or len({ids[0] for ids in tokens.values()}) < count:
        raise InputError(
            f"tokenizer {tokenizer.name_or_path!r}: ' A' to ' {LETTERS[count - 1]}' must be {count} different single "
            f"tokens, they are {list(tokens.values())}; give the model's own tokenizer, ask with `format: cloze`, or "
            "evaluate with lm_eval, which sums tokens"
        )
    return [ids[0] for ids in tokens.values()]


def _together(queries: Sequence[Query], max_tokens: int) -> list[list[Query]]:
    """The variants of each question, one by one where a batch does not hold them; those that begin alike in turn."""
    ordered = sorted(queries, key=lambda query: (query.number, query.input_ids, query.variant))
    groups = [[*group] for _, group in itertools.groupby(ordered, key=lambda query: query.number)]
    parts = [
        part
        for group in groups
        for part in ([group] if packed_length(_prompts(group)) <= max_tokens else [[query] for query in group])
    ]
    return sorted(parts, key=lambda part: part[0].input_ids)


def _prompts(queries: Sequence[Query]) -> list[Prompt]:
    return [Prompt(query.input_ids) for query in queries]


def _collate(queries: Sequence[Query], padding_id: int, *, valid: bool) -> QueryBatch:
    length = max(len(query.input_ids) for query in queries)
    options = max(len(query.choices) for query in queries)
    padding = [length - len(query.input_ids) for query in queries]
    rows = [[padding_id] * count + query.input_ids for count, query in zip(padding, queries, strict=True)]
    return QueryBatch(
        input_ids=torch.tensor(rows),
        attention_mask=torch.tensor([[0] * count + [1] * (length - count) for count in padding]),
        choices=torch.tensor([query.choices + [-1] * (options - len(query.choices)) for query in queries]),
        answer=torch.tensor([query.answer for query in queries]),
        number=torch.tensor([query.number for query in queries]),
        variant=torch.tensor([query.variant for query in queries]),
        valid=torch.full((len(queries),), valid),
    )
