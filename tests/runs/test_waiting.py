import io
import sys
import threading

import pytest

from lit_unlearn.runs.waiting import announced, watched


class Heard(io.StringIO):
    """Standard error that says when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


def test_what_takes_long_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(sys, "stderr", heard)
    with announced("loading a model", after=0):
        assert heard.written.wait(60)
    assert heard.getvalue() == "lit-unlearn: loading a model …\n"


def test_what_is_done_before_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, before = Heard(), threading.active_count()
    monkeypatch.setattr(sys, "stderr", heard)
    with announced("loading a model", after=3600):
        (timer,) = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    timer.join(60)
    assert threading.active_count() == before
    assert heard.getvalue() == ""


def test_other_processes_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_unlearn.runs.waiting.rank_zero_only.rank", 1)
    with announced("loading a model", after=3600):
        assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_a_terminal_and_a_notebook_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    assert not watched(stream)
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    assert watched(stream)
    monkeypatch.delattr(sys, "ps1")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert watched(stream)
