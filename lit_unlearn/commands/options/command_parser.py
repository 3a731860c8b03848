"""The parser of a command's own options, whose errors are of one line."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from lit_unlearn.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print its usage and exit; no option is abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options of a command that has no others; one that does not exist is named before one that is missing.

        Raises:
            InputError: an option cannot be used.
        """
        for word in words[: words.index("--")] if "--" in words else words:
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and name not in self._option_string_actions:
                self._refuse(name)
        return self.parse_args(words)

    def _refuse(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"`{self.prog} --help` lists all options"
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {name}: there is no such option; {hint}")

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {message}; `{self.prog} --help` explains them")
