import pytest
import torch
from torch import Tensor

from lit_unlearn import DPO, NPO, InputError
from lit_unlearn.losses.contract import Batch, Outputs
from tests.losses.looping import log_sigmoid, nll

BETA = 0.7


def looped(updated: Outputs, frozen: Outputs, batch: Batch, *, mean: bool) -> list[float]:
    assert updated.preferred is not None
    assert frozen.preferred is not None
    out = []
    for row in range(4):
        forget = nll(updated, batch, row, mean=mean) - nll(frozen, batch, row, mean=mean)
        answers = batch["preferred"]
        preferred = nll(updated.preferred, answers, row, mean=mean) - nll(frozen.preferred, answers, row, mean=mean)
        out.append(-2 / BETA * log_sigmoid(BETA * (forget - preferred)))
    return out


@pytest.mark.parametrize("mean", [False, True])
def test_equals_the_formula_written_as_loops(pairs: tuple[Outputs, Outputs, Batch], mean: bool) -> None:
    expected = torch.tensor(looped(*pairs, mean=mean), dtype=torch.float64)
    torch.testing.assert_close(DPO(BETA, length_normalized=mean)(*pairs), expected, rtol=0, atol=1e-6)


def test_the_terms_of_the_answer_do_not_cancel(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    assert updated.preferred is not None
    logits = updated.preferred.logits
    assert isinstance(logits, Tensor)
    logits.requires_grad_()
    rows = DPO(BETA)(updated, frozen, batch)
    rows.sum().backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=(1, 2)) > 0).all()
    with torch.no_grad():
        logits.sub_(logits.grad)  # a step that makes the answers likelier
    assert (DPO(BETA)(updated, frozen, batch) < rows).all()


def test_where_the_answers_are_as_likely_as_they_were_it_is_npo(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    same = updated._replace(preferred=frozen.preferred)
    torch.testing.assert_close(DPO(BETA)(same, frozen, batch), NPO(BETA)(updated, frozen, batch))


def test_beta_is_above_zero() -> None:
    with pytest.raises(InputError, match=r"^model\.forget\.beta: -1 is not an inverse temperature"):
        DPO(-1)
