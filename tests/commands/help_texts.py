"""Writes the help of commands whose parsers take seconds to build: `python -m tests.commands.help_texts`."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

from lit_unlearn import cli
from lit_unlearn.commands.analysis import _ANALYSES
from lit_unlearn.commands.help_texts import FOLDER, file_name, installed

COMMANDS = [
    *(
        ["fit"],
        ["validate"],
        ["test"],
        ["plan"],
        ["forget-tokens"],
        ["alternatives"],
        ["scale"],
        ["report"],
        ["attack"],
        ["sweep"],
        ["eval"],
        ["ask"],
        ["repair"],
        ["verify"],
        ["analyse"],
    ),
    *(["analyse", name] for name in _ANALYSES),
]


def built(command: Sequence[str]) -> str:
    """The help that a command builds itself, for lines of 80 characters, after the line of versions."""
    shown = io.StringIO()
    narrow, named = patch.dict(os.environ, COLUMNS="80"), patch.object(sys, "argv", ["lit-unlearn"])
    with narrow, named, redirect_stdout(shown), suppress(SystemExit):
        cli._COMMANDS[command[0]]([*command, "--help"])
    return f"{installed()}\n{shown.getvalue()}"


def write(folder: Path) -> None:
    """Writes the text of each command.

    Args:
        folder: where to. The classes that help lists are those that the process has imported, so this process must not
            have imported others than the commands do.
    """
    for command in COMMANDS:
        (folder / file_name(command)).write_text(built(command), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
