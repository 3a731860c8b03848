"""Values made of logits in pieces, with their gradient, are those of the whole logits under autograd."""

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_unlearn import (
    CEU,
    DPO,
    NLL,
    NPO,
    PDU,
    UNDIAL,
    WGA,
    Distillation,
    GradientAscent,
    LogitKL,
    LogitMSE,
    SatImp,
    SimNPO,
)
from lit_unlearn.data.rows import Row
from lit_unlearn.losses import by_token, functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs
from lit_unlearn.losses.lazy_logits import LazyLogits
from tests.batches import padded, random_rows

DIM, VOCAB = 8, 160
LOSSES: list[Loss] = [
    NPO(),
    NPO(length_normalized=True),
    SimNPO(margin=0.5),
    DPO(),
    GradientAscent(),
    WGA(0.5),
    SatImp(0.5, 1.5),
    CEU(),
    Distillation(),
    UNDIAL(3.0),
    PDU(),
    NLL(),
    LogitKL(),
    LogitMSE(),
]


class Head(nn.Module):
    """An output head that counts its calls."""

    def __init__(self, *, bias: bool = False, cap: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(DIM, VOCAB, bias=bias, dtype=dtype).requires_grad_(False)
        self.cap = cap
        self.tokens: list[int] = []

    def forward(self, states: Tensor) -> Tensor:
        self.tokens.append(states.shape[1])
        logits: Tensor = 4 * self.linear(states)
        return self.cap * torch.tanh(logits / self.cap) if self.cap else logits


HEADS: dict[str, dict[str, Any]] = {"plain": {}, "bias": {"bias": True}, "cap": {"cap": 3.0}}


def rows(seed: int = 0) -> Batch:
    batch = padded(random_rows(3, seed=seed), "left")
    if seed == 0:
        batch["preferred"] = rows(seed=1)
    return batch


def states(batch: Batch, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*batch["input_ids"].shape, DIM, generator=source).to(dtype)


def loss_and_gradients(
    loss: Loss, head: nn.Module, *, whole: bool, context: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> list[Tensor]:
    """The loss of each row, and the gradients of a sum with weights with respect to both kinds of states."""
    batch, dtype = rows(), next(head.parameters()).dtype
    both = batch, batch["preferred"]
    updated = [states(one, seed, dtype).requires_grad_() for seed, one in enumerate(both)]
    frozen = [states(one, seed, dtype) + 0.1 for seed, one in enumerate(both)]

    def outputs(given: list[Tensor]) -> Outputs:
        made = (
            [head(one.reshape(1, -1, DIM)).view(*one.shape[:2], VOCAB) for one in given]
            if whole
            else [LazyLogits(head, one, VOCAB) for one in given]
        )
        return Outputs(given[0], made[0], Outputs(given[1], made[1]))

    with context():
        found = loss(outputs(updated), outputs(frozen), batch)
    weights = torch.tensor([1.0, -2.0, 0.5])
    used = updated if loss.needs_preferred else updated[:1]
    return [found, *torch.autograd.grad((weights * found).sum(), used)]


def plainly(measure: by_token.Measure, counted: Tensor, logits: Tensor) -> Tensor:
    """What `by_token` is, written in one line for whole logits."""
    index = counted.nonzero(as_tuple=True)
    found = measure.values(logits[index], measure.against(*index))
    return found.new_zeros(counted.shape).index_put(index, found)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of at most 5 tokens, which are read 2 at a time."""
    monkeypatch.setattr(by_token, "_CPU", by_token.Sizes(made=0, tokens=5, read=2 * VOCAB))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_and_gradients_are_those_of_whole_logits(loss: Loss, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loss_and_gradients(loss, Head(**HEADS[head], dtype=torch.float64), whole=False)
    monkeypatch.setattr(functional, "by_token", plainly)
    expected = loss_and_gradients(loss, Head(**HEADS[head], dtype=torch.float64), whole=True)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13 * float(theirs.detach().abs().max()))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_under_autocast_they_differ_by_the_rounding_of_bfloat16(
    loss: Loss, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def context() -> AbstractContextManager[None]:
        return torch.autocast("cpu", torch.bfloat16)

    found = loss_and_gradients(loss, Head(dtype=dtype), whole=False, context=context)
    monkeypatch.setattr(functional, "by_token", plainly)
    expected = loss_and_gradients(loss, Head(dtype=dtype), whole=True, context=context)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01 * float(theirs.detach().abs().max()))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-6 * float(expected[0].detach().abs().max()))


SHORT = padded(random_rows(2, seed=0), "right")
TARGET: Tensor = torch.randn(
    *SHORT["input_ids"].shape, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64
)
READERS = {
    "likelihood": lambda logits, batch: functional.negative_log_likelihood(logits, batch["labels"]),
    "divergence": lambda logits, batch: functional.kl_divergence(logits, TARGET, batch["loss_mask"]),
    "log-ratio": lambda logits, batch: functional.mean_squared_log_ratio(logits, TARGET, batch["loss_mask"]),
}
WEIGHT = torch.randn(3, 7, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def short(seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*TARGET.shape[:2], 3, generator=source, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("reader", READERS)
def test_gradients_of_gradients_are_those_of_finite_differences(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_token, "_CPU", by_token.Sizes(made=0, tokens=5, read=14))
    batch = SHORT | {"labels": SHORT["labels"].where(SHORT["labels"] < 0, SHORT["labels"] % 7)}

    def read(some: Tensor) -> Tensor:
        logits = LazyLogits(lambda states: torch.tanh(states @ WEIGHT), some, 7)
        return READERS[reader](logits, batch).square()

    assert torch.autograd.gradcheck(read, short(0), fast_mode=True)
    assert torch.autograd.gradgradcheck(read, short(0), fast_mode=True)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_head_runs_once_for_each_model_and_piece_and_never_in_backward(loss: Loss) -> None:
    batch, head, frozen_head = rows(), Head(), Head()
    updated, frozen = states(batch, 0).requires_grad_(), states(batch, 1)
    outputs, target = (
        Outputs(one, LazyLogits(own, one, VOCAB), Outputs(two, LazyLogits(own, two, VOCAB)))
        for own, one, two in (
            (head, updated, states(batch["preferred"], 2)),
            (frozen_head, frozen, states(batch["preferred"], 3)),
        )
    )
    found = loss(outputs, target, batch)
    before = [*head.tokens], [*frozen_head.tokens]
    found.sum().backward()
    assert before == (head.tokens, frozen_head.tokens)
    assert max(head.tokens) <= 5
    read = [batch, batch["preferred"]] if loss.needs_preferred else [batch]
    predicting = 0 if isinstance(loss, Distillation | LogitKL | LogitMSE) else 3  # a row's last token predicts nothing
    assert sum(head.tokens) == sum(int(one["attention_mask"].sum()) - predicting for one in read)
    assert sum(frozen_head.tokens) == (sum(head.tokens) if loss.needs_frozen else 0)


class Kept:
    """A tensor that autograd keeps for backward, for as long as it does."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_no_logits_are_kept_for_backward(loss: Loss) -> None:
    batch, head = rows(), Head(cap=3.0)
    kept = weakref.WeakSet[Kept]()

    def keep(tensor: Tensor) -> Kept:
        kept.add(held := Kept(tensor))
        return held

    one, two = states(batch, 0).requires_grad_(), states(batch["preferred"], 1).requires_grad_()
    outputs = Outputs(one, LazyLogits(head, one, VOCAB), Outputs(two, LazyLogits(head, two, VOCAB)))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda held: held.tensor):
        found = loss(outputs, outputs, batch)
    sizes = {held.tensor.shape[-1] for held in kept if held.tensor.ndim > 1}
    assert DIM in sizes
    assert VOCAB not in sizes
    found.sum().backward()
    assert one.grad is not None


def test_a_trained_head_has_its_gradient_and_runs_again_in_backward() -> None:
    batch, head = rows(), Head()
    head.linear.requires_grad_()
    one = states(batch, 0)
    rows_of = [
        NLL()(Outputs(one, logits), None, batch) for logits in (LazyLogits(head, one, VOCAB, trained=True), head(one))
    ]
    gradients = [torch.autograd.grad(found.sum(), head.linear.weight)[0] for found in rows_of]
    torch.testing.assert_close(rows_of[0], rows_of[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert len(head.tokens) == 3


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("gradient", [False, True])
def test_the_head_is_called_as_often_as_is_agreed(trained: bool, gradient: bool) -> None:
    batch, head, asked = rows(), Head(), list[int]()
    needed = -(-int((batch["attention_mask"].sum(dim=-1) - 1).sum()) // 5)

    def agreed(calls: int) -> int:
        asked.append(calls)
        return 40  # more than there are tokens in each piece

    one = states(batch, 0).requires_grad_(gradient)
    found = NLL()(Outputs(one, LazyLogits(head, one, VOCAB, trained=trained, agreed=agreed)), None, batch)
    assert asked == [needed]
    assert len(head.tokens) == 40
    torch.testing.assert_close(found, NLL()(Outputs(one, LazyLogits(head, one, VOCAB)), None, batch))


def test_rows_without_a_token_to_predict_give_0_and_no_gradient() -> None:
    batch = padded([Row([5], 0, 0)], "right")
    one = states(batch, 0).requires_grad_()
    found = NLL()(Outputs(one, LazyLogits(Head(), one, VOCAB)), None, batch)
    assert found.tolist() == [0.0]
    assert torch.equal(torch.autograd.grad(found.sum(), one)[0], torch.zeros_like(one))
