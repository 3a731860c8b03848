"""Which rows meet in which step: a function of the seed and the step alone."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from lit_unlearn import Batch
from lit_unlearn.data.steps import PairedSteps, StepSampler


def stream(name: int, length: int) -> Dataset:
    """Rows whose only token says which they are."""
    return Dataset.from_dict({"input_ids": [[1000 * name + number] for number in range(length)]})


def paired(
    forget: Sequence[int],
    retain: Sequence[int],
    *,
    batch_size: int = 2,
    seed: int | None = 0,
    share: tuple[int, int] = (0, 1),
) -> PairedSteps:
    """Steps over streams of these lengths; retain streams are numbered after the forget streams."""
    return PairedSteps(
        [stream(number, length) for number, length in enumerate(forget)],
        [stream(number, length) for number, length in enumerate(retain, start=len(forget))],
        batch_size=batch_size,
        seed=seed,
        padding=("right", 0),
        share=share,
    )


def tokens(batch: Batch) -> list[int]:
    return [int(token) for token in batch["input_ids"].flatten()]


def epoch(steps: PairedSteps, side: str, number: int = 0) -> list[int]:
    """The rows of an epoch in their order."""
    return [token for step in StepSampler(steps, lambda: number * len(steps)) for token in tokens(steps[step][side])]


def both(steps: PairedSteps, count: int) -> list[tuple[list[int], list[int]]]:
    return [(tokens(steps[step]["forget"]), tokens(steps[step]["retain"])) for step in range(count)]


@pytest.mark.parametrize("topics", [1, 2, 3, 5])
def test_topics_alternate_by_step(topics: int) -> None:
    steps = paired([4] * topics, [6])
    for step in range(4 * topics):
        pair = steps[step]
        assert pair["forget"]["topic"].tolist() == pair["retain"]["topic"].tolist() == [step % topics] * 2
        assert {token // 1000 for token in tokens(pair["forget"])} == {step % topics}


@pytest.mark.parametrize(
    ("forget", "retain", "length"),
    [
        ([8], [4], 4),
        ([8], [20], 10),
        ([8, 4], [4], 8),
        ([4, 8], [40], 20),
        ([4, 4, 4], [60], 30),
        ([8, 4], [4, 8], 8),
        ([4, 4], [4, 20], 20),
        ([4, 4, 4], [4, 20, 6], 30),
        ([2, 2], [9], 6),
        ([5], [1], 3),
    ],
)
def test_an_epoch_is_one_pass_of_the_longest_stream(forget: list[int], retain: list[int], length: int) -> None:
    assert len(paired(forget, retain)) == length


@pytest.mark.parametrize(
    ("forget", "retain"), [([12], [4]), ([12, 4], [6]), ([4, 12, 4], [8]), ([4, 12], [4, 4]), ([4, 12], [12, 4])]
)
@pytest.mark.parametrize("number", [0, 1, 4])
def test_every_row_of_the_longest_forget_stream_comes_once_per_epoch(
    forget: list[int], retain: list[int], number: int
) -> None:
    longest = forget.index(12)
    seen = [token for token in epoch(paired(forget, retain), "forget", number) if token // 1000 == longest]
    assert sorted(seen) == [1000 * longest + row for row in range(12)]


@pytest.mark.parametrize(("forget", "retain"), [([4], [24]), ([4, 4], [24]), ([4, 2, 2], [24]), ([4, 4], [4, 24])])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_every_row_of_the_longest_retain_stream_comes_once_per_epoch(
    forget: list[int], retain: list[int], number: int
) -> None:
    longest = len(forget) + retain.index(24)
    seen = [token for token in epoch(paired(forget, retain), "retain", number) if token // 1000 == longest]
    assert sorted(seen) == [1000 * longest + row for row in range(24)]


@pytest.mark.parametrize("length", [3, 5, 7])
def test_a_last_batch_that_is_not_full_is_filled_from_the_next_pass(length: int) -> None:
    steps = paired([length], [1])
    seen = [token for step in range(4 * length) for token in tokens(steps[step]["forget"])]
    passes = [sorted(seen[begin : begin + length]) for begin in range(0, len(seen), length)]
    assert passes == [list(range(length))] * 8


def test_shorter_streams_repeat() -> None:
    steps = paired([12, 4], [6])
    forget, retain = Counter(epoch(steps, "forget")), Counter(epoch(steps, "retain"))
    assert {forget[1000 + row] for row in range(4)} == {3}
    assert {retain[2000 + row] for row in range(6)} == {4}


def test_a_stream_shorter_than_a_batch_fills_it() -> None:
    steps = paired([8], [1], batch_size=4)
    assert tokens(steps[0]["retain"]) == [1000] * 4


def test_every_pass_has_another_order() -> None:
    steps = paired([40], [2])
    assert epoch(steps, "forget", 0) != epoch(steps, "forget", 1)
    assert epoch(steps, "forget", 0) != list(range(40))


def test_streams_of_one_length_have_orders_of_their_own() -> None:
    steps = paired([40, 40], [40, 40])
    seen = epoch(steps, "forget") + epoch(steps, "retain")
    orders = {tuple(token % 1000 for token in seen if token // 1000 == name) for name in range(4)}
    assert {len(order) for order in orders} == {40}
    assert len(orders) == 4


def test_one_retain_stream_serves_all_topics_in_turn() -> None:
    steps = paired([6, 6, 6], [18])
    seen = epoch(steps, "retain")
    assert sorted(seen) == [3000 + row for row in range(18)]


def test_a_retain_stream_per_topic_meets_its_topic() -> None:
    steps = paired([4, 4, 4], [6, 6, 6])
    for step in range(9):
        assert {token // 1000 for token in tokens(steps[step]["retain"])} == {3 + step % 3}


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_row_numbers_are_unique_across_streams(side: str) -> None:
    steps = paired([4, 6, 2], [3, 8, 5])
    pairs = {
        (token, int(row))
        for step in range(3 * len(steps))
        for token, row in zip(tokens(steps[step][side]), steps[step][side]["row"], strict=True)
    }
    total = 12 if side == "forget" else 16
    assert len(pairs) == total  # a row's number never changes
    assert sorted(row for _, row in pairs) == list(range(total))


def test_without_a_seed_rows_come_in_their_own_order() -> None:
    steps = paired([6], [4], seed=None)
    assert epoch(steps, "forget") == [0, 1, 2, 3, 4, 5]
    assert epoch(steps, "retain") == [1000, 1001, 1002, 1003, 1000, 1001]


def test_the_order_is_a_function_of_the_seed() -> None:
    assert both(paired([20, 8], [10]), 30) == both(paired([20, 8], [10]), 30)
    assert both(paired([20, 8], [10]), 30) != both(paired([20, 8], [10], seed=1), 30)


def test_global_generators_neither_change_the_order_nor_are_changed() -> None:
    expected = both(paired([20, 8], [10]), 30)
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        assert both(paired([20, 8], [10]), 30) == expected
        after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]


def test_a_step_does_not_depend_on_those_before() -> None:
    straight = both(paired([5, 4], [7]), 40)
    steps = paired([5, 4], [7])
    for step in [39, 3, 17, 0, 25, 24]:
        assert (tokens(steps[step]["forget"]), tokens(steps[step]["retain"])) == straight[step]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    def seen(count: int) -> list[tuple[list[int], list[int]]]:
        steps = paired([7, 4], [10])
        loader = DataLoader(steps, sampler=StepSampler(steps, lambda: 3), batch_size=None, num_workers=count)
        return [(tokens(pair["forget"]), tokens(pair["retain"])) for pair in loader]

    assert seen(workers) == seen(0)


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("retain", [[10], [10, 6]])
def test_the_shares_of_all_processes_are_the_rows_of_one(world_size: int, retain: list[int]) -> None:
    one = paired([7, 4], retain, batch_size=4)
    shares = [paired([7, 4], retain, batch_size=4, share=(rank, world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {len(one)}
    for step in range(20):
        for side in ("forget", "retain"):
            parts = [tokens(share[step][side]) for share in shares]
            assert {len(part) for part in parts} == {4 // world_size}
            assert [token for part in parts for token in part] == tokens(one[step][side])


def test_rows_keep_their_numbers_in_every_share() -> None:
    one, share = paired([7], [10], batch_size=4), paired([7], [10], batch_size=4, share=(1, 2))
    for step in range(8):
        assert share[step]["retain"]["row"].tolist() == one[step]["retain"]["row"][2:].tolist()


@pytest.mark.parametrize("taken", [0, 1, 5, 6, 7, 12, 17])
def test_an_epoch_begins_with_the_first_step_that_is_not_taken(taken: int) -> None:
    steps = paired([12], [4])
    assert list(StepSampler(steps, lambda: taken)) == list(range(taken, taken + 6))


def test_each_epoch_asks_anew_how_many_steps_are_taken() -> None:
    steps, taken = paired([12], [4]), [0]
    sampler = StepSampler(steps, lambda: taken[0])
    assert next(iter(sampler)) == 0
    taken[0] = 4
    sampler.set_epoch(7)  # Lightning tells it; what has been taken decides
    assert next(iter(sampler)) == 4


def test_outside_a_trainer_epochs_are_set_by_hand() -> None:
    sampler = StepSampler(paired([12], [4]))
    assert list(sampler) == list(range(6))
    sampler.set_epoch(2)
    assert list(sampler) == list(range(12, 18))
