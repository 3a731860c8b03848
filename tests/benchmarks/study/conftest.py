"""Fits of a study begin with everything imported."""

import pytest

from tests.processes import ForkedFitProcess


@pytest.fixture(autouse=True)
def _fits_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own takes 8 s for imports; tests/commands/sweep has fits in such."""
    monkeypatch.setattr("lit_unlearn.commands.sweep.study.FitProcess", ForkedFitProcess)
