import math

import pytest
import torch
from torch import Tensor

from lit_unlearn import CircuitBreaker
from lit_unlearn.losses.contract import Batch, Outputs

Rows = tuple[Outputs, Outputs, Batch]


def looped(pairs: list[tuple[Tensor, Tensor]], batch: Batch) -> list[float]:
    """The mean over layers and counted tokens of the positive part of the cosine, in plain numbers."""
    out = []
    for row, mask in enumerate(batch["loss_mask"].tolist()):
        found = []
        for ours, theirs in pairs:
            for position in [place for place, counts in enumerate(mask) if counts]:
                a, b = ours[row, position].tolist(), theirs[row, position].tolist()
                product = sum(x * y for x, y in zip(a, b, strict=True))
                found.append(max(0.0, product / math.hypot(*a) / math.hypot(*b)))
        out.append(sum(found) / len(found))
    return out


def test_equals_the_formula_written_as_loops(rows: Rows) -> None:
    updated, frozen, batch = rows
    expected = torch.tensor(looped([(updated.hidden, frozen.hidden)], batch), dtype=torch.float64)
    torch.testing.assert_close(CircuitBreaker()(*rows), expected, rtol=0, atol=1e-12)


def test_is_the_mean_over_layers(rows: Rows) -> None:
    updated, frozen, batch = rows
    lower = [(updated.hidden.flip(1) + 1, frozen.hidden.flip(2)), (updated.hidden.cos(), frozen.hidden)]
    both = [one._replace(lower=tuple(pair[side] for pair in lower)) for side, one in enumerate((updated, frozen))]
    expected = torch.tensor(looped([(updated.hidden, frozen.hidden), *lower], batch), dtype=torch.float64)
    torch.testing.assert_close(CircuitBreaker([0, 1])(both[0], both[1], batch), expected, rtol=0, atol=1e-12)


def test_ends_where_states_are_at_a_right_angle_or_beyond(rows: Rows) -> None:
    _, frozen, batch = rows
    away = (-frozen.hidden).requires_grad_()
    found = CircuitBreaker()(Outputs(away, None), frozen, batch)
    assert found.tolist() == [0.0] * 4
    assert torch.autograd.grad(found.sum(), away)[0].abs().max() == 0.0


@pytest.mark.parametrize("length", [0.1, 1.0, 50.0])
def test_before_training_is_1_whatever_the_length(rows: Rows, length: float) -> None:
    _, frozen, batch = rows
    torch.testing.assert_close(
        CircuitBreaker()(Outputs(length * frozen.hidden, None), frozen, batch), torch.ones(4, dtype=torch.float64)
    )
