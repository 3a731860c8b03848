"""A user's config file is opened once in a command by our own code; jsonargparse opens it once more, by itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.options import config_files

_watched: dict[str, list[str]] = {}
"""By a file's path, the module that opened it, each time."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str | Path):
        path = str(Path(arguments[0]).absolute())
        if path in _watched:
            _watched[path].append(_opener(sys._getframe(1)))


sys.addaudithook(_note)  # which cannot be removed


def _opener(frame: FrameType | None) -> str:
    """The nearest caller that is of ours or of jsonargparse."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(("lit_unlearn.", "jsonargparse.")):
            return name
        frame = frame.f_back
    return ""


@contextmanager
def opened(path: Path) -> Iterator[list[str]]:
    """Who opens a file within this context."""
    name = str(path.absolute())
    _watched[name] = []
    try:
        yield _watched[name]
    finally:
        _watched.clear()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own file: the demo's."""
    monkeypatch.chdir(tmp_path)
    path = Path("own.yaml")
    path.write_text((config_files.folder() / "demo.yaml").read_text(encoding="utf-8"))
    return path


@pytest.mark.parametrize(
    ("words", "by_jsonargparse"),
    [
        (["plan", "-c", "own.yaml"], 1),
        (["fit", "--config=own.yaml", "--print_config"], 1),
        (["validate", "-c", "own.yaml", "--print_config"], 1),
        (["validate", "--model", "demo", "-c", "own.yaml", "--print_config"], 0),  # it is given what we have read
        (["sweep", "-c", "own.yaml", "--over", "model.layer=1..2", "--out", "out"], 0),
    ],
)
def test_a_config_is_opened_once(config: Path, words: list[str], by_jsonargparse: int) -> None:
    # Of --print_config, and of the sweep, whose axis is a range.
    with opened(config) as openers, suppress(SystemExit):
        main(words)
    ours = [name for name in openers if name.startswith("lit_unlearn.")]
    assert ours == ["lit_unlearn.commands.options.option_file"]
    assert len([name for name in openers if name.startswith("jsonargparse.")]) == by_jsonargparse
