"""What every refusal has in common: one clear line, a status that is not 0, nothing left behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.cli import main

Refused = Callable[..., str]
"""Takes the words of a command, and what its one line must say; returns that line."""
Config = dict[str, Any]
Tree = dict[Path, tuple[int, int]]


def tree(folder: Path) -> Tree:
    """Every file and folder within, with its size and the time of its last change."""
    found = ((path, path.stat()) for path in folder.rglob("*"))
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found if not path.is_dir()} | {
        path: (0, 0) for path in folder.rglob("*") if path.is_dir()
    }


def is_progress(line: str) -> bool:
    """Whether a line of standard error is a progress bar, of what came before the refusal."""
    return not line.strip() or "%|" in line or "it/s]" in line


def refusal(words: list[str], said: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a refused command, checked."""
    before = tree(folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(words)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if not is_progress(line))
    assert stop.value.code == 2
    assert line.startswith("lit-unlearn: error: ")
    assert [part for part in said if part not in line] == [], line
    assert tree(folder) == before
    return line


def write(path: Path, content: Config | str) -> str:
    """Writes a config, JSON being YAML."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)
