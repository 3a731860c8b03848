import pytest
import torch
from torch import Tensor

from lit_unlearn import UNDIAL, InputError
from tests.losses.plain_torch import Case, assert_value_and_gradient, mean_over_predicted


def plainly(case: Case, logits: Tensor, strength: float) -> Tensor:
    _, frozen, batch = case
    assert isinstance(frozen.logits, Tensor)
    reference = frozen.logits

    def value(row: int, before: int, token: int) -> Tensor:
        lowered = reference[row, before].clone()
        lowered[token] -= strength
        return -(lowered.softmax(dim=-1) * logits[row, before].softmax(dim=-1).log()).sum()

    return mean_over_predicted(batch, value)


@pytest.mark.parametrize("strength", [0.5, 3.0, 30.0])
def test_value_and_gradient_are_those_of_the_formula(texts_or_answers: Case, strength: float) -> None:
    case = texts_or_answers
    assert_value_and_gradient(UNDIAL(strength), case, lambda logits: plainly(case, logits, strength), frozen=True)


def test_the_default_is_the_released_one(pairs: Case) -> None:
    assert isinstance(pairs[0].logits, Tensor)
    torch.testing.assert_close(UNDIAL()(*pairs), plainly(pairs, pairs[0].logits, 10.0))


def test_it_ends_at_the_frozen_model_with_the_right_token_lowered(texts_or_answers: Case) -> None:
    updated, frozen, batch = texts_or_answers
    assert isinstance(frozen.logits, Tensor)
    right = torch.nn.functional.one_hot(batch["input_ids"].roll(-1, dims=1), frozen.logits.shape[-1])
    reached = (frozen.logits - 3.0 * right).requires_grad_()
    rows = UNDIAL(3.0)(updated._replace(logits=reached), frozen, batch)
    assert torch.autograd.grad(rows.sum(), reached)[0].abs().max() < 1e-12
    assert rows.max() > 0.1  # the entropy of what is distilled


def test_prompts_and_padding_are_not_distilled(texts_or_answers: Case) -> None:
    updated, frozen, batch = texts_or_answers
    assert isinstance(updated.logits, Tensor)
    logits = updated.logits.requires_grad_()
    (gradient,) = torch.autograd.grad(UNDIAL()(updated, frozen, batch).sum(), logits)
    reached = (gradient.abs().sum(dim=-1) > 0).sum(dim=-1).tolist()
    answers = not torch.equal(batch["loss_mask"], batch["attention_mask"])
    assert reached == ([3, 3, 3, 2] if answers else [5, 2, 0, 3])


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_the_strength_is_above_0(strength: float) -> None:
    with pytest.raises(
        InputError, match=rf"^model\.forget\.strength: {strength} does not lower a logit; give a finite"
    ):
        UNDIAL(strength)
