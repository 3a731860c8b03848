"""Tokens equal to the harness' HFLM; batches that lose and repeat nothing."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch.utils.data import DistributedSampler
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.batches import QueryBatches, encode, query_loader
from lit_unlearn.questions.source import prompt
from tests.asking import MIXED, QUESTIONS, TOKENIZERS, harness, queries_of, random_model, word_level


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tokens_are_the_harness_own(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    lm = harness(random_model("llama"), tokenizer)
    assert {len(query.choices) for query in encode(MIXED, tokenizer)} == {*range(3, 11)}
    asked = [*QUESTIONS, *MIXED]
    for question, query in zip(asked, [*encode(QUESTIONS, tokenizer), *encode(MIXED, tokenizer)], strict=True):
        for letter, token in zip(LETTERS[: len(question.choices)], query.choices, strict=True):
            assert lm._encode_pair(prompt(question), f" {letter}") == (query.input_ids, [token])
        assert (query.answer, query.number) == (question.answer, question.number)


def test_letters_must_be_different_tokens() -> None:
    with pytest.raises(InputError, match=r"' A' to ' D' must be 4 different single tokens, they are \[\[1\], \[1\]"):
        encode(QUESTIONS, PreTrainedTokenizerFast(tokenizer_object=unknowing(), unk_token="<unk>"))
    bytes_alone = Tokenizer(models.BPE())
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.train_from_iterator([], trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    with pytest.raises(InputError, match=r"or evaluate with lm_eval, which sums tokens"):
        encode(QUESTIONS, PreTrainedTokenizerFast(tokenizer_object=bytes_alone))


def unknowing() -> Tokenizer:
    fast = Tokenizer(models.WordLevel({"Answer": 0, "<unk>": 1}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return fast


def test_no_questions_are_refused() -> None:
    with pytest.raises(InputError, match=r"none to encode"):
        encode([], word_level())


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3, 5, 8])
def test_processes_share_every_query_once_in_equally_many_batches(world: int, packed: bool) -> None:
    queries = queries_of(5, 30, 7, 7, 12, 9, 30, 2, 4)
    shares = [QueryBatches(queries, max_tokens=24, share=(rank, world), packed=packed) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    batches = [batch for share in shares for batch in query_loader(share)]
    assert len(batches) == world * len(shares[0])
    counted = [number for batch in batches for number in batch["number"][batch["valid"]].tolist()]
    assert sorted(counted) == list(range(9))
    valid = [sum(int(batch["valid"].sum()) for batch in query_loader(share)) for share in shares]
    assert [share.rows for share in shares] == valid
    assert all(len(batch["number"]) > 0 for batch in batches)  # a model can run on each


def test_batches_keep_the_budget_and_do_not_depend_on_the_order() -> None:
    queries = queries_of(*range(40, 0, -3), 5, 5, 5)
    batches, again = (
        list(query_loader(QueryBatches(rows, max_tokens=32, packed=False))) for rows in (queries, queries[::-1])
    )
    assert [batch["number"].tolist() for batch in batches] == [batch["number"].tolist() for batch in again]
    shapes = [batch["input_ids"].shape for batch in batches]
    assert [shape[1] for shape in shapes] == sorted((shape[1] for shape in shapes), reverse=True)
    assert all(shape.numel() <= 32 or shape[0] == 1 for shape in shapes)
    assert max(shape[0] for shape in shapes) > 3


def test_padding_is_to_the_left() -> None:
    batch = QueryBatches(queries_of(3, 1), max_tokens=99, padding_id=7, packed=False)[0]
    assert batch["input_ids"].tolist() == [[9, 9, 9], [7, 7, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]


def test_the_trainer_leaves_the_shares_alone() -> None:
    assert isinstance(query_loader(QueryBatches(queries_of(3), max_tokens=9)).sampler, DistributedSampler)
