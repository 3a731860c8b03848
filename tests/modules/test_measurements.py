import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.modules import measurements

TOPICS = ("bio", "cyber", "chem")


def two_rows(side: str) -> Batch:
    return collate([Row([5, 6], 0, 0), Row([7], 1, 1)], padding_side=side, padding_id=0)


def states(side: str) -> Tensor:
    """Two states in the first row, one in the second; the third is padding."""
    second = [[0.0, 2.0], [9.0, 9.0]] if side == "right" else [[9.0, 9.0], [0.0, 2.0]]
    return torch.tensor([[[3.0, 4.0], [1.0, 0.0]], second])


def one_process(value: Tensor) -> Tensor:
    return value


def beside(rows: measurements.RowValues, topic: Tensor, topics: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
    """The sum over two processes, the other of which holds these rows."""
    sent: list[Tensor] = []
    measurements.means(rows, topic, topics, lambda value: sent.append(value) or value)  # type: ignore[func-returns-value]
    return lambda value: value + sent[0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_describes_the_states_of_each_rows_real_tokens(side: str) -> None:
    direction = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    rows = measurements.describe(torch.tensor([1.5, 2.5]), Outputs(states(side), None), two_rows(side), direction)
    expected = {"loss": [1.5, 2.5], "norm": [1.0, 0.0], "first_token_share": [25 / 26, 1.0], "cosine": [0.8, -1.0]}
    assert rows.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(rows[name], torch.tensor(values))


def test_without_a_direction_there_is_no_cosine() -> None:
    rows = measurements.describe(torch.zeros(2), Outputs(states("right"), None), two_rows("right"), None)
    assert list(rows) == ["loss", "norm", "first_token_share"]


def test_measurements_keep_no_gradient() -> None:
    hidden = states("right").requires_grad_()
    rows = measurements.describe(hidden.sum(dim=(1, 2)), Outputs(hidden, None), two_rows("right"), torch.ones(2, 2))
    assert not any(value.requires_grad for value in rows.values())


def test_measures_positions_of_the_loss_mask() -> None:
    batch, direction = two_rows("right"), torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    batch["loss_mask"] = torch.tensor([[0, 1], [1, 0]])
    rows = measurements.describe(torch.zeros(2), Outputs(states("right"), None), batch, direction)
    assert rows["norm"].tolist() == [1.0, 0.0]  # of a row of one token nothing is left without the first
    assert rows["cosine"].tolist() == [1.0, -1.0]
    batch["state_mask"] = torch.tensor([[1, 0], [1, 0]])  # the cosine is of what the loss counts
    rows = measurements.describe(torch.zeros(2), Outputs(states("right"), None), batch, direction)
    assert rows["cosine"].tolist() == pytest.approx([0.6, -1.0])


def test_means_run_over_all_rows_and_over_each_topics() -> None:
    rows = {"loss": torch.tensor([1.0, 3.0, 8.0]), "norm": torch.tensor([0.0, 2.0, 4.0])}
    out = measurements.means(rows, torch.tensor([0, 0, 2]), TOPICS, one_process)
    assert {name: value.item() for name, value in out.items()} == {
        "loss": 4.0,
        "norm": 2.0,
        "loss/bio": 2.0,
        "norm/bio": 1.0,
        "loss/chem": 8.0,
        "norm/chem": 4.0,
    }


def test_means_are_zero_dimensional() -> None:
    out = measurements.means({"loss": torch.ones(2)}, torch.tensor([0, 1]), TOPICS, one_process)
    assert {value.shape for value in out.values()} == {torch.Size([])}


def test_without_topics_only_the_means_over_all_rows_are_given() -> None:
    out = measurements.means({"loss": torch.tensor([1.0, 3.0])}, torch.tensor([0, 1]), (), one_process)
    assert {name: value.item() for name, value in out.items()} == {"loss": 2.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_row_that_is_not_finite_spoils_its_own_topic_and_the_whole_only(bad: float) -> None:
    out = measurements.means({"loss": torch.tensor([1.0, bad])}, torch.tensor([0, 1]), TOPICS, one_process)
    assert out["loss/bio"] == 1.0
    assert not out["loss/cyber"].isfinite()
    assert not out["loss"].isfinite()


@pytest.mark.parametrize(("here", "there"), [([0, 0, 0], [0, 1, 1]), ([0, 1, 2], [2, 2, 2]), ([1, 1, 1], [1, 1, 1])])
def test_means_over_two_processes_equal_those_of_one_with_all_rows(here: list[int], there: list[int]) -> None:
    own, other = torch.tensor(here), torch.tensor(there)
    mine, theirs = {"loss": torch.tensor([1.0, 2.0, 6.0])}, {"loss": torch.tensor([4.0, 16.0, 64.0])}
    together = {"loss": torch.cat([mine["loss"], theirs["loss"]])}
    out = measurements.means(mine, own, TOPICS, beside(theirs, other, TOPICS))
    expected = measurements.means(together, torch.cat([own, other]), TOPICS, one_process)
    assert out.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(out[name], value)


def test_both_processes_log_the_same_names() -> None:
    rows, own, other = {"loss": torch.ones(2)}, torch.tensor([0, 0]), torch.tensor([1, 1])
    first = measurements.means(rows, own, TOPICS, beside(rows, other, TOPICS))
    second = measurements.means(rows, other, TOPICS, beside(rows, own, TOPICS))
    assert list(first) == list(second) == ["loss", "loss/bio", "loss/cyber"]


def test_half_precision_losses_are_summed_in_float32() -> None:
    losses = torch.full((600,), 1.5, dtype=torch.bfloat16)
    out = measurements.means({"loss": losses}, torch.zeros(600, dtype=torch.int64), ("bio",), one_process)
    assert out["loss/bio"].item() == 1.5
