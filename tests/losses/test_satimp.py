import pytest
import torch
from torch import Tensor

from lit_unlearn import WGA, GradientAscent, InputError, SatImp
from tests.losses.plain_torch import Case, assert_value_and_gradient, mean_over_predicted


def plainly(case: Case, logits: Tensor, beta1: float, beta2: float) -> Tensor:
    def value(row: int, before: int, token: int) -> Tensor:
        probability = logits[row, before].softmax(dim=-1)[token]
        fixed = probability.detach()
        return fixed**beta1 * (1 - fixed) ** beta2 * probability.log()

    return mean_over_predicted(case[2], value)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.5, 1.0), (1.0, 0.3), (2.0, 3.0), (0.0, 1.0)])
def test_value_and_gradient_are_those_of_the_formula(texts_or_answers: Case, beta1: float, beta2: float) -> None:
    case = texts_or_answers
    assert_value_and_gradient(SatImp(beta1, beta2), case, lambda logits: plainly(case, logits, beta1, beta2))


def test_the_defaults_are_the_published_ones(pairs: Case) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    torch.testing.assert_close(SatImp()(updated, None, batch), plainly(pairs, updated.logits, 5.0, 1.0))


def test_without_importance_it_is_wga_and_without_either_gradient_ascent(pairs: Case) -> None:
    updated, _, batch = pairs
    torch.testing.assert_close(SatImp(2.0, 0.0)(updated, None, batch), WGA(2.0)(updated, None, batch))
    torch.testing.assert_close(SatImp(0.0, 0.0)(updated, None, batch), GradientAscent()(updated, None, batch))


@pytest.mark.parametrize("beta2", [0.3, 1.0])
def test_tokens_that_are_certain_have_no_weight(pairs: Case, beta2: float) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    certain = torch.nn.functional.one_hot(batch["input_ids"].roll(-1, dims=1), updated.logits.shape[-1]) * 60.0
    logits = certain.float().requires_grad_()
    rows = SatImp(1.0, beta2)(updated._replace(logits=logits), None, batch)
    (gradient,) = torch.autograd.grad(rows.sum(), logits)
    assert rows.abs().max() == 0.0
    assert gradient.abs().max() == 0.0  # and no power of a negative number, which is not a number


@pytest.mark.parametrize("name", ["beta1", "beta2"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_exponents_are_0_or_more(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.forget\.{name}: {value} is not an exponent of a weight; give"):
        SatImp(**{name: value})
