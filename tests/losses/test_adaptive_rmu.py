import math

import torch

from lit_unlearn import RMU, AdaptiveRMU
from lit_unlearn.losses.contract import Batch, Outputs

DIM = 5
SCALES = [3.0, 0.3, 1.5]


def looped(loss: AdaptiveRMU, scales: list[float], updated: Outputs, frozen: Outputs, batch: Batch) -> list[float]:
    out = []
    for row, topic in enumerate(batch["topic"].tolist()):
        real = [position for position, counts in enumerate(batch["loss_mask"][row].tolist()) if counts]
        norms = [math.sqrt(sum(entry**2 for entry in frozen.hidden[row, position].tolist())) for position in real]
        length = scales[topic] * sum(norms) / len(norms)
        target = [length * entry for entry in loss.steering_vector(torch.tensor([topic]), DIM)[0].tolist()]
        squares = [
            (state - wanted) ** 2
            for position in real
            for state, wanted in zip(updated.hidden[row, position].tolist(), target, strict=True)
        ]
        out.append(sum(squares) / len(squares))
    return out


def test_equals_the_formula_written_as_loops(rows: tuple[Outputs, Outputs, Batch]) -> None:
    loss = AdaptiveRMU(SCALES, seed=3)
    expected = torch.tensor(looped(loss, SCALES, *rows), dtype=torch.float64)
    torch.testing.assert_close(loss(*rows), expected, rtol=0, atol=1e-6)


def test_one_scale_is_every_topics(rows: tuple[Outputs, Outputs, Batch]) -> None:
    assert torch.equal(AdaptiveRMU(2.5, seed=3)(*rows), AdaptiveRMU([2.5] * 3, seed=3)(*rows))


def test_is_rmu_where_the_frozen_states_have_the_norm_of_its_coefficient(
    rows: tuple[Outputs, Outputs, Batch],
) -> None:
    updated, frozen, batch = rows
    unit = Outputs(torch.nn.functional.normalize(frozen.hidden, dim=-1), None)
    torch.testing.assert_close(AdaptiveRMU(2.0, seed=3)(updated, unit, batch), RMU(2.0, seed=3)(updated, None, batch))


def test_the_target_grows_with_the_frozen_states_not_with_the_updated_ones(
    rows: tuple[Outputs, Outputs, Batch],
) -> None:
    updated, frozen, batch = rows
    loss, still = AdaptiveRMU(seed=3), Outputs(torch.zeros_like(updated.hidden), None)
    larger = Outputs(3 * frozen.hidden, None)
    torch.testing.assert_close(loss(still, larger, batch), 9 * loss(still, frozen, batch))


def test_each_row_has_a_target_of_its_own(rows: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = rows
    loss, changed = AdaptiveRMU(seed=3), frozen.hidden.clone()
    changed[0] *= 5
    difference = loss(updated, Outputs(changed, None), batch) - loss(*rows)
    assert (difference != 0).tolist() == [True, False, False, False]
