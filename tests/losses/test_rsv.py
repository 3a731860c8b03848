import torch

from lit_unlearn import RSV
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Outputs

DIM = 5
COEFFICIENTS = [10.0, 0.3, 2.0]


def looped(loss: RSV, coefficients: list[float], updated: Outputs, frozen: Outputs, batch: Batch) -> list[float]:
    out = []
    for row, topic in enumerate(batch["topic"].tolist()):
        direction = loss.steering_vector(torch.tensor([topic]), DIM)[0].tolist()
        total, count = 0.0, 0
        for position, counts in enumerate(batch["loss_mask"][row].tolist()):
            for index in range(DIM if counts else 0):
                target = frozen.hidden[row, position, index].item() + coefficients[topic] * direction[index]
                total += (updated.hidden[row, position, index].item() - target) ** 2
                count += 1
        out.append(total / count)
    return out


def test_equals_the_formula_written_as_loops(rows: tuple[Outputs, Outputs, Batch]) -> None:
    loss = RSV(COEFFICIENTS, seed=3)
    expected = torch.tensor(looped(loss, COEFFICIENTS, *rows), dtype=torch.float64)
    torch.testing.assert_close(loss(*rows), expected, rtol=0, atol=1e-6)


def test_one_coefficient_is_every_topics(rows: tuple[Outputs, Outputs, Batch]) -> None:
    assert torch.equal(RSV(2.5, seed=3)(*rows), RSV([2.5] * 3, seed=3)(*rows))


def test_is_zero_where_every_state_has_moved_by_the_shift(rows: tuple[Outputs, Outputs, Batch]) -> None:
    _, frozen, batch = rows
    loss = RSV(COEFFICIENTS, seed=3)
    shift = torch.tensor(COEFFICIENTS)[batch["topic"]][:, None] * loss.steering_vector(batch["topic"], DIM)
    assert loss(Outputs(frozen.hidden + shift[:, None, :], None), frozen, batch).tolist() == [0.0] * 4


def test_before_training_is_the_square_of_the_coefficient_per_dimension(rows: tuple[Outputs, Outputs, Batch]) -> None:
    _, frozen, batch = rows
    expected = torch.tensor(COEFFICIENTS, dtype=torch.float64)[batch["topic"]].square() / DIM
    torch.testing.assert_close(RSV(COEFFICIENTS)(frozen, frozen, batch), expected, rtol=1e-6, atol=0)


def test_half_precision_states_are_shifted_in_float32() -> None:
    batch = collate([Row([7] * 6, 0, 0)], padding_side="right", padding_id=0)
    states = Outputs(torch.full((1, 6, DIM), 300.0, dtype=torch.bfloat16), None)
    torch.testing.assert_close(RSV(0.5)(states, states, batch), torch.tensor([0.05]), rtol=1e-3, atol=0)


def test_steers_in_both_signs() -> None:
    vectors = RSV(seed=0).steering_vector(torch.arange(50), DIM)
    assert vectors.min() < -0.5
    assert vectors.max() > 0.5
