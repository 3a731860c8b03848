"""Rows of similar length meet: the same rows, less padding, still a function of the seed, whatever the processes."""

import pytest
import torch
from datasets import Dataset
from torch import Tensor

from lit_unlearn import InputError
from lit_unlearn.data.order import by_length, lengths
from lit_unlearn.data.steps import PairedSteps
from tests.data.running import data_module, ready


def drawn(rows: int = 230) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    return torch.randperm(rows, generator=source), torch.randint(5, 500, (rows,), generator=source)


def padded(order: Tensor, length: Tensor, batch_size: int) -> float:
    """Tokens with padding, in parts of those without."""
    return float(sum(part.max() * len(part) for part in length[order].split(batch_size)) / length.sum())


def test_a_row_is_a_rows_tokens() -> None:
    rows = Dataset.from_dict({"input_ids": [[1] * count for count in (3, 0, 7, 5)]})
    assert lengths(rows).tolist() == [3, 0, 7, 5]
    assert lengths(rows.select([2, 0])).tolist() == [7, 3]


@pytest.mark.parametrize("begun", [0, 3])
def test_every_window_keeps_its_rows_and_little_is_padded(begun: int) -> None:
    order, length = drawn()
    found = by_length(order, length, batch_size=4, begun=begun, window=10)
    assert torch.equal(found[:begun], order[:begun])
    for before, after in zip(order[begun:].split(40), found[begun:].split(40), strict=True):
        assert sorted(before.tolist()) == sorted(after.tolist())
    assert padded(order[begun:], length, 4) > 1.5
    assert padded(found[begun:], length, 4) < 1.1


def test_lengths_neither_rise_nor_fall_within_a_window() -> None:
    order, length = drawn(2000)
    batches = length[by_length(order, length, batch_size=4, window=500)].view(-1, 4).float().mean(dim=1)
    places = torch.arange(len(batches)).float()
    assert abs(float(torch.corrcoef(torch.stack([places, batches]))[0, 1])) < 0.1


def test_a_batch_that_is_not_full_stays_the_last() -> None:
    order, length = torch.arange(6), torch.tensor([9, 1, 8, 2, 7, 3])
    assert by_length(order, length, batch_size=4).tolist() == [1, 3, 5, 4, 2, 0]


def steps(share: tuple[int, int] = (0, 1), *, seed: int | None = 0, grouped: bool = True) -> PairedSteps:
    order, length = drawn(90)
    rows = [[int(row)] * int(length[row] % 40 + 1) for row in order]
    streams = [Dataset.from_dict({"input_ids": part}) for part in (rows[:37], rows[37:])]
    options = {"batch_size": 4, "seed": seed, "padding": ("right", 0), "share": share, "group_by_length": grouped}
    return PairedSteps(streams[:1], streams[1:], **options)  # type: ignore[arg-type]


def rows_of(found: PairedSteps, stream: str, count: int) -> list[int]:
    return [int(row) for step in range(count) for row in found[step][stream]["row"]]


def test_over_all_passes_every_batch_is_grouped_and_every_row_comes_once_a_pass() -> None:
    count = 37  # 4 passes of the forget stream, whose rows make no whole batches
    found, plain = rows_of(steps(), "forget", count), rows_of(steps(grouped=False), "forget", count)
    assert found != plain
    for turn in range(4):
        assert sorted(found[37 * turn : 37 * turn + 37]) == list(range(37))
    tokens = [
        sum(int(one[step]["forget"]["input_ids"].numel()) for step in range(count))
        for one in (steps(), steps(grouped=False))
    ]
    assert tokens[0] < 0.8 * tokens[1]


def test_two_processes_share_the_batches_of_one() -> None:
    whole, parts = steps(), [steps((rank, 2)) for rank in (0, 1)]
    for step in range(20):
        shared = [int(row) for part in parts for row in part[step]["retain"]["row"]]
        assert shared == whole[step]["retain"]["row"].tolist()


def test_rows_that_keep_their_own_order_are_left_in_it() -> None:
    assert rows_of(steps(seed=None), "retain", 5) == list(range(20))


def test_a_resume_without_it_is_refused(world: object) -> None:
    grouped, plain = (ready(data_module(world, group_by_length=value)) for value in (True, False))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"data\.group_by_length: the checkpoint was made with group_by_length True"):
        plain.load_state_dict(grouped.state_dict())
