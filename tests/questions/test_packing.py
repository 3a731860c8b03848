"""A packed row holds every prompt, what several have in common once, and loses and repeats nothing."""

import pytest
import torch

from lit_unlearn.questions.batches import Query, QueryBatches
from lit_unlearn.questions.cloze import ClozeBatches, encode_cloze
from lit_unlearn.questions.packing import Packed, Prompt, common, filled, pack, packed_length, parts_of
from tests.asking import QUESTIONS, word_level

PROMPTS = [[7, 9, 9], [7, 1, 2, 3], [7, 1, 5, 6, 4], [8, 1], [7, 1, 2, 3]]


def prompts_of(packed: Packed) -> list[list[int]]:
    """What each prompt's last token sees, in the order in which they were given."""
    found = {}
    tokens, position = packed["input_ids"][0], packed["position"][0]
    for own, seen in parts_of(packed):
        assert seen[len(seen) - (own.stop - own.start) :].tolist() == [*range(own.start, own.stop)]
        assert position[seen].tolist() == [*range(len(seen))]
        found[own.stop - 1] = tokens[seen].tolist()
    return [found[last] for last in packed["last"].tolist()]


def test_every_prompt_can_be_read_and_a_common_beginning_is_there_once() -> None:
    packed = pack([*map(Prompt, PROMPTS)])
    assert prompts_of(packed) == PROMPTS
    assert packed["input_ids"].tolist() == [[7, 1, 2, 3, 3, 5, 6, 4, 9, 9, 8, 1]]
    assert int(packed["own"].sum()) == packed["input_ids"].numel()


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_tokens_that_are_asked_about_are_a_prompt_s_own(asked: int) -> None:
    prompts = [[1, 2, 3, 4, 5]] * 3 + [[1, 2, 3, 4]]
    packed = pack([Prompt(ids, asked) for ids in prompts])
    assert prompts_of(packed) == prompts
    assert packed["own"].min() >= asked
    places = (packed["last"][:, None] - torch.arange(asked)).flatten().tolist()
    assert len({*places}) == len(places)


@pytest.mark.parametrize("length", range(9))
def test_common_is_found_whatever_its_length(length: int) -> None:
    one, other = [5] * length + [6] * (9 - length), [5] * length + [7] * (9 - length)
    assert common(one, Prompt([*other, 0])) == length


def test_batches_keep_the_budget_of_their_rows_and_come_largest_first() -> None:
    ids = sorted([number // 9, number // 3, *range(number % 4 + 1)] for number in range(40))
    batches = filled(ids, 12, prompts=lambda one: [Prompt(one)])
    lengths = [pack([*map(Prompt, batch)])["input_ids"].numel() for batch in batches]
    assert lengths == [packed_length(map(Prompt, batch)) for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    assert max(lengths) <= 12
    assert sum(lengths) / len(lengths) > 6
    assert sorted(one for batch in batches for one in batch) == ids


def test_what_fits_no_batch_is_one_of_its_own() -> None:
    assert filled([[1] * 9, [2]], 4, prompts=lambda one: [Prompt(one)]) == [[[1] * 9], [[2]]]


def queries(*lengths: int, variants: int) -> list[Query]:
    return [
        Query([number + 1] * (length - 1) + [50 + variant], [1, 2, 3, 4], 0, number, variant)
        for variant in range(variants)
        for number, length in enumerate(lengths)
    ]


def test_variants_of_a_question_share_their_beginning() -> None:
    batches = QueryBatches(queries(3, 9, 5, 4, variants=3), max_tokens=20)
    found = [batches[index] for index in range(len(batches))]
    names = [name for batch in found for name in zip(batch["number"].tolist(), batch["variant"].tolist(), strict=True)]
    assert sorted(names) == [(number, variant) for number in range(4) for variant in range(3)]
    for batch in found:
        masks = batch["attention_mask"].bool()
        rows = [row[mask].tolist() for row, mask in zip(batch["input_ids"], masks, strict=True)]
        assert prompts_of(batch["packed"]) == rows
        assert batch["packed"]["input_ids"].numel() <= 20
    assert sum(batch["packed"]["input_ids"].numel() for batch in found) == 3 + 9 + 5 + 4 + 4 * 2


def test_what_is_not_packed_keeps_the_budget_with_its_padding() -> None:
    batches = QueryBatches(queries(3, 9, 5, 4, variants=3), max_tokens=20, packed=False)
    found = [batches[index] for index in range(len(batches))]
    assert all("packed" not in batch and batch["input_ids"].numel() <= 20 for batch in found)
    cloze = ClozeBatches(encode_cloze(QUESTIONS, word_level()), max_tokens=400, packed=False)[0]
    assert "packed" not in cloze
    assert cloze["texts"]["input_ids"].numel() <= 400
