"""The parsers of fit, validate and test, as the command line builds them."""

from unittest.mock import patch

from lightning.pytorch.cli import LightningArgumentParser

from lit_unlearn.commands.fit.cli import UnlearnCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.runs.folder import RunFolder


class _Built(Exception):
    """There are parsers."""


def run_parsers(model: type) -> dict[str, LightningArgumentParser]:
    """Those of the commands for models of a class, UnlearnModule or QuestionModule."""
    cli = UnlearnCLI.__new__(UnlearnCLI)
    with patch.object(UnlearnCLI, "parse_arguments", side_effect=_Built):
        try:
            cli.__init__(Words.read(["fit"]), RunFolder(), alone=model.__name__ == "QuestionModule")  # type: ignore[misc]
        except _Built:
            return cli._subcommand_parsers
    raise AssertionError("the parsers are built before words are parsed")
