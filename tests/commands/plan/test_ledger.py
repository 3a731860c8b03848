"""The account of what is alive."""

import torch

from lit_unlearn.commands.plan.ledger import KEPT, PARTS, PASSING, WEIGHTS, Ledger, size


def test_a_tensor_counts_until_nothing_refers_to_it() -> None:
    with Ledger() as ledger:
        first = torch.zeros(100)
        view = first[:50].view(5, 10)
        assert ledger.live[PASSING] == 400
        del first
        assert ledger.live[PASSING] == 400
        del view
        assert ledger.live.total() == 0
        second = torch.ones(10)
    assert ledger.peak[PASSING] == 400
    del second
    assert ledger.live.total() == 0  # beyond the context too


def test_the_peak_is_one_moment() -> None:
    with Ledger() as ledger:
        weights = torch.zeros(10)
        ledger.label([weights], WEIGHTS)
        for _ in range(3):
            torch.zeros(100)
        assert dict(+ledger.peak) == {WEIGHTS: 40, PASSING: 400}
        ledger.begin()
        assert dict(+ledger.peak) == {WEIGHTS: 40}
    assert set(ledger.live) <= set(PARTS)


def test_what_autograd_saves_is_kept_and_freed() -> None:
    weight = torch.ones(10, requires_grad=True)
    with Ledger() as ledger:
        ledger.label([weight], WEIGHTS)
        with ledger.keeping():
            loss = (weight * 2).exp().sum()  # exp keeps its result
        assert ledger.live[KEPT] == 40
        loss.backward()
        assert ledger.live[KEPT] == 0


def test_only_what_operations_read_is_read() -> None:
    used, unused = torch.zeros(10), torch.zeros(20)
    with Ledger() as ledger:
        ledger.label([used, unused], WEIGHTS)
        ledger.begin()
        _ = used + 1
        assert ledger.read(WEIGHTS) == 40 == size([used, used])
