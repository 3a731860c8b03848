"""The parser of a command's own options, whose errors are of one line."""

import argparse
from typing import NoReturn

from lit_unlearn.errors import InputError


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """Raises InputError."""
        raise InputError(f"{self.prog.removeprefix('lit-unlearn ')}: {message}; `{self.prog} --help` explains them")
