from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.repairs import ClosedForm
from lit_unlearn.repairs.closed_form import RIDGE, closed_form


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def moment(inputs: Tensor) -> Tensor:
    """The mean of x xᵀ over inputs `[tokens, width]`."""
    return inputs.T @ inputs / len(inputs)


CHANGE, FORGET, RETAIN = drawn(4, 6, seed=0), drawn(40, 6, seed=1), drawn(70, 6, seed=2) * torch.arange(1, 7)


@pytest.mark.parametrize("mu", [0.1, 5.0])
def test_the_gradient_of_the_objective_is_zero_there(mu: float) -> None:
    found = closed_form(CHANGE, moment(FORGET), moment(RETAIN), mu=mu).requires_grad_()
    served = ((found - CHANGE) @ FORGET.T).square().sum(dim=0).mean()
    served = served + RIDGE * moment(FORGET).diagonal().mean() * (found - CHANGE).square().sum()
    (served + mu * (found @ RETAIN.T).square().sum(dim=0).mean()).backward()
    assert found.grad is not None
    assert found.grad.abs().max() < 1e-10


@pytest.mark.parametrize("mu", [0.1, 5.0])
def test_it_is_the_least_squares_solution_over_stacked_inputs(mu: float) -> None:
    width = FORGET.shape[1]
    ridge = (RIDGE * moment(FORGET).diagonal().mean()).sqrt() * torch.eye(width, dtype=torch.float64)
    forget = torch.cat([FORGET / len(FORGET) ** 0.5, ridge])
    retain = RETAIN * (mu / len(RETAIN)) ** 0.5
    targets = torch.cat([forget @ CHANGE.T, torch.zeros(len(retain), 4, dtype=torch.float64)])
    expected = torch.linalg.lstsq(torch.cat([forget, retain]), targets).solution.T
    torch.testing.assert_close(closed_form(CHANGE, moment(FORGET), moment(RETAIN), mu=mu), expected)


def test_mu_0_changes_nothing_and_more_of_it_disturbs_retain_inputs_less() -> None:
    found = [closed_form(CHANGE, moment(FORGET), moment(RETAIN), mu=mu) for mu in (0.0, 0.1, 1.0, 10.0)]
    assert torch.equal(found[0], CHANGE)
    disturbed = [(one @ RETAIN.T).square().mean() for one in found]
    kept = [((one - CHANGE) @ FORGET.T).square().mean() for one in found]
    assert disturbed == sorted(disturbed, reverse=True)
    assert kept == sorted(kept)


def test_fewer_forget_inputs_than_dimensions_are_enough() -> None:
    few = FORGET[:2]
    found = closed_form(CHANGE, moment(few), moment(RETAIN), mu=1e-9)
    torch.testing.assert_close(found @ few.T, CHANGE @ few.T, rtol=1e-4, atol=1e-4)


def test_inputs_of_0_are_refused() -> None:
    with pytest.raises(InputError, match=r"inputs of a matrix on forget rows are all 0"):
        closed_form(CHANGE, torch.zeros(6, 6).double(), moment(RETAIN), mu=1.0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, r"0 of mu, nll_rise and answer_logprob are given; give one"),
        ({"mu": 1.0, "nll_rise": 2.0}, r"2 of mu, nll_rise and answer_logprob are given; give one"),
        ({"mu": -1.0}, r"ClosedForm.mu: must be at least 0, got -1.0"),
        ({"mu": float("inf")}, r"ClosedForm.mu: must be at least 0 and finite, got inf"),
        ({"nll_rise": 0.0}, r"ClosedForm.nll_rise: must be above 0 nats, got 0.0"),
        ({"answer_logprob": 0.5}, r"ClosedForm.answer_logprob: must be below 0 nats, got 0.5"),
        ({"mu": 1.0, "share": 0.0}, r"ClosedForm.share: must be above 0 and up to 1, got 0.0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ClosedForm(**options)


def test_its_name_says_what_it_is() -> None:
    assert ClosedForm(7.0).name == "closed-form-7"
    assert ClosedForm(0.5, share=0.8).name == "closed-form-0.5-share-0.8"
    assert ClosedForm(nll_rise=3.0).name == "closed-form-nll-rise-3"
    assert ClosedForm(answer_logprob=-4.5).name == "closed-form-answer-logprob-4.5"
    assert ClosedForm(nll_rise=3.0, share=0.5).at(2.0).name == "closed-form-2-share-0.5"
