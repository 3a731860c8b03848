"""Parsers of options whose errors are of one line."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import set_parsing_settings
from lightning.pytorch.cli import LightningArgumentParser

from lit_unlearn.commands.options import suggestions
from lit_unlearn.commands.options.errors import readable
from lit_unlearn.commands.options.help_layout import PlainHelp
from lit_unlearn.commands.options.option_file import OptionFile
from lit_unlearn.errors import InputError

set_parsing_settings(docstring_parse_attribute_docstrings=True)  # the texts of options that are a dataclass's


@contextlib.contextmanager
def without_attribute_texts() -> Iterator[None]:
    """Parsers that are built within this context lack the texts of options that are a dataclass's.

    Only help shows them, and to find them the source of every class is read, which takes most of a parser's time.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    try:
        yield
    finally:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)


class Parser(LightningArgumentParser):
    """A parser whose errors are ours: one line, with the nearest key that exists; no option is abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args, **{"prog": "lit-unlearn", "formatter_class": PlainHelp, "allow_abbrev": False, **kwargs}
        )

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises InputError where jsonargparse would print its usage and exit."""
        if not self.exit_on_error:
            super().error(message, ex)
        raise InputError(readable(message, self)) from ex


class AloneParser(Parser):
    """A parser for an evaluation without losses: the files' `model` sections are left out."""

    files: Mapping[str, OptionFile]
    """Those of the command line, by path."""

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """Parses a file of the command line, which is opened already."""
        with contextlib.chdir(Path(path).absolute().parent):  # where its own relative paths begin
            return self.parse_string(self.files[str(path)].without("model"), *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises InputError, of its own for an option of UnlearnModule."""
        found = re.search(r"unrecognized arguments: --model\.(\w+)", message)
        if self.exit_on_error and found and found[1] in suggestions.arguments("lit_unlearn.UnlearnModule"):
            own = ", ".join(suggestions.arguments("lit_unlearn.QuestionModule"))
            raise InputError(
                f"model.{found[1]}: a model evaluated without losses has no such option, only {own}; leave it out, or "
                "give model.forget and model.retain instead of --model"
            ) from ex
        super().error(message, ex)
