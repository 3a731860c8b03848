import pytest
import torch
from torch import Tensor

from lit_unlearn import CEU, InputError
from tests.losses.plain_torch import Case, assert_value_and_gradient, mean_over_predicted


def plainly(case: Case, logits: Tensor, ignored: int) -> Tensor:
    batch = case[2]

    def value(row: int, before: int, token: int) -> Tensor:
        p = logits[row, before].softmax(dim=-1)
        others = p.detach().clone()
        others[token] = 0.0
        return -((others / others.sum()) * p.log()).sum()

    # Without a prompt the first labelled token is the row's first, which nothing predicts.
    texts = torch.equal(batch["loss_mask"], batch["attention_mask"])
    own = mean_over_predicted(batch, value, without_first=max(ignored - 1, 0) if texts else ignored)
    if texts:
        return own
    without_prompt = mean_over_predicted(batch, value, without_first=max(ignored - 1, 0))
    return torch.cat([own[:3], without_prompt[3:]])


@pytest.mark.parametrize("ignored", [0, 1, 2])
def test_value_and_gradient_are_those_of_the_formula(texts_or_answers: Case, ignored: int) -> None:
    case = texts_or_answers
    assert_value_and_gradient(CEU(ignored), case, lambda logits: plainly(case, logits, ignored))


def test_the_first_token_of_an_answer_gets_no_gradient(texts_or_answers: Case) -> None:
    updated, _, batch = texts_or_answers
    assert isinstance(updated.logits, Tensor)
    logits = updated.logits.requires_grad_()
    gradients = [
        torch.autograd.grad(loss(updated._replace(logits=logits), None, batch).sum(), logits)[0]
        for loss in (CEU(), CEU(0))
    ]
    reached, all_of_them = ((one.abs().sum(dim=-1) > 0).sum(dim=-1).tolist() for one in gradients)
    answers = not torch.equal(batch["loss_mask"], batch["attention_mask"])
    assert all_of_them == ([3, 3, 3, 2] if answers else [5, 2, 0, 3])
    assert reached == ([2, 2, 2, 2] if answers else [5, 2, 0, 3])


def test_where_all_is_ignored_a_row_gives_0_and_no_gradient(texts_or_answers: Case) -> None:
    updated, _, batch = texts_or_answers
    assert isinstance(updated.logits, Tensor)
    logits = updated.logits.requires_grad_()
    rows = CEU(100)(updated, None, batch)
    assert rows.tolist() == [0.0] * 4
    assert torch.autograd.grad(rows.sum(), logits)[0].abs().max() == 0.0


def test_the_gradient_is_what_the_right_token_has_and_it_goes_to_the_others(pairs: Case) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    logits = updated.logits.requires_grad_()
    (gradient,) = torch.autograd.grad(CEU()(updated, None, batch).sum(), logits)
    row, place = 0, int(batch["attention_mask"][0].nonzero()[1])
    token, p = int(batch["input_ids"][row, place]), logits[row, place - 1].softmax(dim=-1)
    others = -p * p[token] / (1 - p[token])
    others[token] = p[token]
    torch.testing.assert_close(5 * gradient[row, place - 1], others.detach())  # of 5 predicted tokens


def test_the_gradient_of_an_unlikely_token_is_not_lost_in_rounding(pairs: Case) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    right = torch.nn.functional.one_hot(batch["input_ids"].roll(-1, dims=1), updated.logits.shape[-1])
    logits = (updated.logits - 20.0 * right).requires_grad_()
    halved = logits.detach().float().requires_grad_()
    exact, found = (
        torch.autograd.grad(CEU()(updated._replace(logits=one), None, batch).sum(), one)[0] for one in (logits, halved)
    )
    assert 0.0 < exact.abs().max() < 1e-7
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


def test_a_number_below_0_is_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.forget\.ignored_tokens: must be at least 0, got -1"):
        CEU(-1)
