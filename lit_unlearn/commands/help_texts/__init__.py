"""The help of commands whose parsers take seconds to build, as text: `python -m tests.commands.help_texts` writes it.

The options of Lightning and torch are those of the versions that the first line of a text names. Where others are
installed, no text is found here and the command builds its help itself.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
_ASKING = ("-h", "--help")
_DESCRIBING = ("jsonargparse", "docstring_parser", "lightning", "torch")
"""Packages whose options, types and descriptions stand in the texts."""


def help_text(words: Sequence[str]) -> str | None:
    """The help that a command line asks for; None if it asks for nothing, or if there is no text for what is installed.

    Args:
        words: of the command line, such as `["fit", "--help"]`.
    """
    if len(words) < 2 or words[-1] not in _ASKING or any(word.startswith("-") for word in words[:-1]):
        return None
    path = FOLDER / file_name(words[:-1])
    if path.parent != FOLDER or not path.is_file():
        return None
    made_with, _, text = path.read_text(encoding="utf-8").partition("\n")
    return text if made_with == installed() else None


def file_name(command: Sequence[str]) -> str:
    """The file of a command's help.

    Example:
        >>> file_name(["analyse", "maxlogit"])
        'analyse-maxlogit.txt'
    """
    return f"{'-'.join(command)}.txt"


def installed() -> str:
    """The versions that the texts depend on: of Python, and of the packages that describe options."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return ", ".join([python, *(f"{name} {version(name).partition('+')[0]}" for name in _DESCRIBING)])
