"""The parser of a command's own options, whose errors are of one line."""

import argparse
from typing import Any, NoReturn

from lit_unlearn.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print its usage and exit; no option is abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {message}; `{self.prog} --help` explains them")
