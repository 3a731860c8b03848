import pytest
import torch
from torch import Tensor

from lit_unlearn import WGA, GradientAscent, InputError
from tests.losses.plain_torch import Case, assert_value_and_gradient, mean_over_predicted


def plainly(case: Case, logits: Tensor, exponent: float) -> Tensor:
    def value(row: int, before: int, token: int) -> Tensor:
        probability = logits[row, before].softmax(dim=-1)[token]
        return probability.detach() ** exponent * probability.log()

    return mean_over_predicted(case[2], value)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_value_and_gradient_are_those_of_the_formula(texts_or_answers: Case, exponent: float) -> None:
    case = texts_or_answers
    assert_value_and_gradient(WGA(exponent), case, lambda logits: plainly(case, logits, exponent))


def test_without_exponent_it_is_gradient_ascent(pairs: Case) -> None:
    updated, _, batch = pairs
    torch.testing.assert_close(WGA(0.0)(updated, None, batch), GradientAscent()(updated, None, batch))


def test_what_is_already_unlikely_is_left_alone(pairs: Case) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    logits = updated.logits.clone()
    logits[0, :, int(batch["input_ids"][0, -1])] -= 60.0
    forgotten = updated._replace(logits=logits.requires_grad_())
    gradients = [
        torch.autograd.grad(loss(forgotten, None, batch).sum(), logits)[0] for loss in (WGA(), GradientAscent())
    ]
    likely, plain = (one[0].abs().sum(dim=-1).gather(0, torch.tensor(4)) for one in gradients)
    if batch["attention_mask"][0, -1]:
        assert likely < 1e-20 < 0.1 < plain


@pytest.mark.parametrize("exponent", [-1.0, float("nan"), float("inf")])
def test_the_exponent_is_0_or_more(exponent: float) -> None:
    with pytest.raises(InputError, match=rf"^model\.forget\.exponent: {exponent} is not an exponent of a weight; give"):
        WGA(exponent)
