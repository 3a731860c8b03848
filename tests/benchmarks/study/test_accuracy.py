import sys

import pytest

from benchmarks.study import accuracy


def test_the_command_prints_both_sides(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy", "--count", "20", "--seed", "3"])
    accuracy.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["forget", "retain"]
    assert all("% of 20 questions right" in line for line in lines)
