"""The parser of a command's own options, whose errors are of one line."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from lit_unlearn.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print its usage and exit; no option is abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """As that of argparse, but an option that does not exist is named before one that is missing."""
        given = [*(sys.argv[1:] if args is None else args)]
        for word in given[: given.index("--")] if "--" in given else given:
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and name not in self._option_string_actions:
                self._refuse(name)
        return super().parse_args(given, namespace)

    def _refuse(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"`{self.prog} --help` lists all options"
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {name}: there is no such option; {hint}")

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {message}; `{self.prog} --help` explains them")
