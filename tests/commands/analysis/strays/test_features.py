import pytest
import torch

from lit_unlearn.commands.analysis.strays import features as module
from lit_unlearn.commands.analysis.strays.features import features
from tests.commands.analysis.strays.made import made


@pytest.mark.parametrize("chunk", [7, 1024])
def test_states_are_standardised(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    states = made(30).states
    found = features(states, 3).of(states)
    assert torch.allclose(found, (states - states.mean(dim=0)) / states.std(dim=0, correction=0), atol=1e-12)


def test_a_dimension_that_never_changes_says_nothing() -> None:
    states = torch.tensor([[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]])
    assert features(states, 2).of(states)[:, 1].tolist() == [0.0] * 3


def test_wide_states_are_projected_on_principal_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PARAMETERS", 8)
    states = made(30, dim=6).states
    found = features(states, 3)
    assert found.directions is not None
    assert found.of(states).shape == (30, 3)  # (3 - 1) · (3 + 1) parameters
    whole = (states - states.mean(dim=0)) / states.std(dim=0, correction=0)
    expected = torch.linalg.svdvals(whole)[:3]
    assert torch.allclose(torch.linalg.svdvals(found.of(states)), expected, atol=1e-10)
    assert features(states, 2).directions is None  # 7 parameters
