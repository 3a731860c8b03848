from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses.lazy_logits import LazyLogits

STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
HEAD = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))


def lazy(states: Tensor = STATES) -> LazyLogits:
    return LazyLogits(lambda some: some @ HEAD, states, vocab=7)


@pytest.mark.parametrize(
    "index",
    [
        0,
        (1, 2),
        slice(None),
        slice(0, 0),
        (slice(1, None), -1),
        (torch.tensor([2, 0]), torch.tensor([4, 1])),
        torch.ones(3, 5).bool(),
    ],
)
def test_an_index_gives_what_it_gives_of_a_tensor(index: Any) -> None:
    torch.testing.assert_close(lazy()[index], (STATES @ HEAD)[index])
    assert lazy().shape == (STATES @ HEAD).shape


@pytest.mark.parametrize("index", [(0, 1, 2), (..., 5), (slice(None), ...)])
def test_an_index_into_the_vocabulary_is_refused(index: Any) -> None:
    with pytest.raises(IndexError, match="indexed by row and position; index the result further"):
        lazy()[index]


def test_the_head_sees_no_more_than_is_asked_for() -> None:
    seen: list[torch.Size] = []

    def head(states: Tensor) -> Tensor:
        seen.append(states.shape)
        return states @ HEAD

    LazyLogits(head, STATES, vocab=7)[torch.tensor([0, 1]), torch.tensor([3, 3])]
    assert seen == [torch.Size((1, 2, 4))]


def test_the_gradient_reaches_the_states() -> None:
    states = STATES.clone().requires_grad_()
    lazy(states)[1, 2].sum().backward()
    assert states.grad is not None
    assert states.grad.abs().sum(dim=-1).nonzero().tolist() == [[1, 2]]
