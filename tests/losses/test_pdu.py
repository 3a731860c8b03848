import pytest
import torch
from torch import Tensor

from lit_unlearn import PDU
from tests.losses.plain_torch import Case, assert_value_and_gradient, mean_over_predicted


def plainly(case: Case, logits: Tensor) -> Tensor:
    def value(row: int, before: int, token: int) -> Tensor:
        del token
        scores = logits[row, before]
        return (scores[int(scores.argmax())] - scores.sum() / len(scores)) ** 2

    return mean_over_predicted(case[2], value)


def test_value_and_gradient_are_those_of_the_formula(texts_or_answers: Case) -> None:
    assert_value_and_gradient(PDU(), texts_or_answers, lambda logits: plainly(texts_or_answers, logits))


def test_flat_logits_cost_nothing_whatever_their_height(pairs: Case) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    flat = updated._replace(logits=torch.full_like(updated.logits, 7.0).requires_grad_())
    rows = PDU()(flat, None, batch)
    assert rows.tolist() == [0.0] * 4
    higher = updated._replace(logits=updated.logits + 100.0)
    torch.testing.assert_close(PDU()(higher, None, batch), PDU()(updated, None, batch))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_sums_over_the_vocabulary_keep_their_digits(pairs: Case, dtype: torch.dtype) -> None:
    updated, _, batch = pairs
    assert isinstance(updated.logits, Tensor)
    rounded = updated.logits.to(dtype)
    found = PDU()(updated._replace(logits=rounded), None, batch)
    assert found.dtype == torch.float32
    expected = PDU()(updated._replace(logits=rounded.double()), None, batch)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
