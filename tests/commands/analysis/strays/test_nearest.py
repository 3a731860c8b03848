import pytest
import torch

from lit_unlearn.commands.analysis.strays import nearest as module
from lit_unlearn.commands.analysis.strays.nearest import nearest, own_share
from tests.commands.analysis.strays.made import made


@pytest.mark.parametrize("chunk", [7, 512])
def test_it_is_the_share_that_loops_count(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rows = made(40)
    found = own_share(nearest(rows.states, neighbours=5), rows.labels)
    for place in range(40):
        others = [other for other in range(40) if other != place]
        others.sort(key=lambda other: float((rows.states[other] - rows.states[place]).square().sum()))
        share = sum(bool(rows.labels[other] == rows.labels[place]) for other in others[:5]) / 5
        assert found[place] == pytest.approx(share, abs=1e-12)


def test_rows_tied_for_the_last_places_share_them() -> None:
    states = torch.tensor([[0.0], [1.0], [2.0], [-2.0], [2.0], [9.0]]).double()
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    assert own_share(nearest(states, neighbours=2), labels)[0] == pytest.approx((1 + 1 / 3) / 2)


def test_with_few_rows_all_others_are_asked() -> None:
    labels = torch.tensor([0, 0, 1])
    assert own_share(nearest(torch.eye(3).double()), labels).tolist() == pytest.approx([0.5, 0.5, 0.0])
