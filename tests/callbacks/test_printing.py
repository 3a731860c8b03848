"""What callbacks print is whole in a notebook too, where each display flushes what is printed meanwhile."""

import ast
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.file_proxy import FileProxy

import lit_unlearn
from lit_unlearn.callbacks.printing import print_lines

TEXT = "\nAfter 3 steps\nquestions  accuracy\nretain     97.9"
PACKAGE = Path(lit_unlearn.__file__).parent
WITHIN_A_BAR = ("callbacks", "modules", "datamodules", "running", "distributed")
"""Rooms whose code runs while Lightning's bar is live."""


class Notebook(Console):
    """A console as in a notebook: to display something is to flush standard output."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        sys.stdout.flush()


@contextmanager
def live_bar() -> Iterator[io.StringIO]:
    """What a notebook shows of what is printed meanwhile: standard output is rich's, as while a bar is live."""
    output, before = io.StringIO(), sys.stdout
    sys.stdout = FileProxy(Notebook(file=output, width=80), io.StringIO())
    try:
        yield output
    finally:
        sys.stdout = before


def test_a_bare_print_of_several_lines_recurses() -> None:
    with pytest.raises(RecursionError), live_bar():
        print(TEXT)


@pytest.mark.parametrize("text", [TEXT, "one line", "", "a\n\nb"])
def test_lines_are_printed_once(text: str) -> None:
    with live_bar() as shown:
        print_lines(text)
        sys.stdout.flush()
    assert shown.getvalue() == f"{text}\n"


def test_nothing_within_a_bar_prints_several_lines_itself() -> None:
    assert not [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for room in WITHIN_A_BAR
        for path in (PACKAGE / room).rglob("*.py")
        if path.name != "printing.py"
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
