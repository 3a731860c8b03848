import pytest
import torch
from torch import Tensor

from lit_unlearn import NPO, GradientAscent, InputError
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import log_sigmoid, losses, nll

BETA = 0.7


@pytest.mark.parametrize("mean", [False, True])
def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch], mean: bool) -> None:
    updated, frozen, batch = pairs
    lost = [nll(updated, batch, row, mean=mean) - nll(frozen, batch, row, mean=mean) for row in range(4)]
    expected = torch.tensor([-2 / BETA * log_sigmoid(BETA * value) for value in lost], dtype=torch.float64)
    rows = NPO(BETA, length_normalized=mean)(updated, frozen, batch)
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-6)


def test_each_row_has_a_sigmoid_of_its_own(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    found = [losses(updated, batch, row) for row in range(4)], [losses(frozen, batch, row) for row in range(4)]
    now, before = (sum(map(sum, rows)) / 4 for rows in found)
    of_the_mean = -2 / BETA * log_sigmoid(BETA * (now - before))
    assert float(NPO(BETA)(updated, frozen, batch).mean()) > of_the_mean + 0.01  # Jensen


def test_the_less_likely_a_row_has_become_the_weaker_it_is_pushed(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    assert isinstance(updated.logits, Tensor)
    pushes = []
    for likelihood in (3.0, 0.0, -3.0):
        chosen = torch.nn.functional.one_hot(batch["input_ids"].roll(-1, dims=1), updated.logits.shape[-1])
        logits = (updated.logits + likelihood * chosen).requires_grad_()
        NPO(BETA)(Outputs(updated.hidden, logits), frozen, batch)[0].backward()
        ascent = logits.detach().clone().requires_grad_()
        GradientAscent()(Outputs(updated.hidden, ascent), None, batch)[0].backward()
        assert logits.grad is not None
        assert ascent.grad is not None
        pushes.append(float(logits.grad.norm() / ascent.grad.norm()))
    assert pushes == sorted(pushes, reverse=True)
    assert pushes[0] > 2 * pushes[-1]


def test_before_training_it_is_a_constant(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    _, frozen, batch = pairs
    assert NPO()(frozen, frozen, batch).tolist() == pytest.approx([20 * 0.6931471805599453] * 4)


def test_beta_is_above_zero() -> None:
    with pytest.raises(InputError, match=r"^model\.forget\.beta: 0 is not an inverse temperature"):
        NPO(0)
