"""Packed rows hold every prompt once, and lose and repeat nothing."""

import torch

from lit_unlearn.questions.batches import Query, QueryBatches
from lit_unlearn.questions.packing import Packed, pack

ALIKE = [[7, 1, 2, 3], [7, 1, 5, 6, 4], [8, 1], [7, 1, 2, 3]]
ALONE = [[7, 9, 9]]


def prompts_of(packed: Packed, tokens: torch.Tensor) -> list[list[int]]:
    """What each prompt's last token sees, in the order of places."""
    found = []
    for last in packed["last"].tolist():
        row, column = divmod(last, packed["prompt"].shape[1])
        own, first = (
            packed["prompt"][row] == packed["prompt"][row, column],
            packed["prompt"][row] == packed["prompt"][row, 0],
        )
        seen = own | (first & (packed["position"][row] < packed["shared"][row, column]))
        order = packed["position"][row][seen].argsort()
        assert packed["position"][row][seen][order].tolist() == list(range(int(seen.sum())))
        found.append(tokens[packed["token"][row]][seen][order].tolist())
    return found


def test_every_prompt_can_be_read_and_the_common_beginning_is_there_once() -> None:
    width = 6
    flat = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in [*ALIKE, *ALONE]]).flatten()
    packed = pack([ALIKE, ALONE], width)
    assert prompts_of(packed, flat) == [*ALIKE, *ALONE]
    assert (packed["prompt"] >= 0).sum(dim=-1).tolist() == [4 + 3 + 2 + 1, 3]


def queries(*lengths: int, variants: int) -> list[Query]:
    return [
        Query([number + 1] * (length - 1) + [50 + variant], [1, 2, 3, 4], 0, number, variant)
        for variant in range(variants)
        for number, length in enumerate(lengths)
    ]


def test_variants_of_a_question_share_a_row_as_far_as_tokens_allow() -> None:
    asked = queries(3, 9, 5, 4, variants=3)
    batches = [*map(QueryBatches(asked, max_tokens=20).__getitem__, range(len(QueryBatches(asked, max_tokens=20))))]
    numbers = [list(zip(batch["number"].tolist(), batch["variant"].tolist(), strict=True)) for batch in batches]
    assert sorted(row for batch in numbers for row in batch) == [(n, v) for n in range(4) for v in range(3)]
    assert numbers[0] == [(1, 0), (1, 1)]  # a third row of 9 tokens would be too many
    assert all(batch["input_ids"].numel() <= 20 for batch in batches)
    for batch in batches:
        rows = [
            row[mask.bool()].tolist() for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        if "packed" in batch:
            assert prompts_of(batch["packed"], batch["input_ids"].flatten()) == rows


def test_what_has_little_in_common_keeps_rows_of_its_own() -> None:
    unlike = [Query([10 * variant + place for place in range(9)], [1, 2, 3, 4], 0, 0, variant) for variant in range(3)]
    assert "packed" not in QueryBatches(unlike, max_tokens=99)[0]


def test_questions_of_one_variant_are_not_packed() -> None:
    assert "packed" not in QueryBatches(queries(3, 4, variants=1), max_tokens=99)[0]
