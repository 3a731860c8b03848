import torch

from lit_unlearn import RMU
from lit_unlearn.losses.contract import Batch, Outputs

DIM = 5
COEFFICIENTS = [6.5, 0.3, 2.0]


def looped(loss: RMU, coefficients: list[float], updated: Outputs, batch: Batch) -> list[float]:
    out = []
    for row, topic in enumerate(batch["topic"].tolist()):
        direction = loss.steering_vector(torch.tensor([topic]), DIM)[0].tolist()
        total, count = 0.0, 0
        for position, counts in enumerate(batch["loss_mask"][row].tolist()):
            for index in range(DIM if counts else 0):
                target = coefficients[topic] * direction[index]
                total += (updated.hidden[row, position, index].item() - target) ** 2
                count += 1
        out.append(total / count)
    return out


def test_equals_the_formula_written_as_loops(rows: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = rows
    loss = RMU(COEFFICIENTS, seed=3)
    expected = torch.tensor(looped(loss, COEFFICIENTS, updated, batch), dtype=torch.float64)
    torch.testing.assert_close(loss(updated, None, batch), expected, rtol=0, atol=1e-6)


def test_one_coefficient_is_every_topics(rows: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = rows
    assert torch.equal(RMU(2.5, seed=3)(updated, None, batch), RMU([2.5] * 3, seed=3)(updated, None, batch))


def test_is_zero_where_every_state_is_the_target(rows: tuple[Outputs, Outputs, Batch]) -> None:
    batch = rows[2]
    loss = RMU(COEFFICIENTS, seed=3)
    target = torch.tensor(COEFFICIENTS)[batch["topic"]][:, None] * loss.steering_vector(batch["topic"], DIM)
    reached = Outputs(target[:, None, :].expand(-1, 6, -1), None)
    assert loss(reached, None, batch).tolist() == [0.0] * 4


def test_the_target_has_the_coefficient_as_its_length(rows: tuple[Outputs, Outputs, Batch]) -> None:
    batch = rows[2]
    still = Outputs(torch.zeros(4, 6, DIM), None)
    expected = torch.tensor(COEFFICIENTS)[batch["topic"]].square() / DIM
    torch.testing.assert_close(RMU(COEFFICIENTS)(still, None, batch), expected)


def test_steers_towards_positive_entries() -> None:
    assert RMU(seed=0).steering_vector(torch.arange(50), DIM).min() > 0
