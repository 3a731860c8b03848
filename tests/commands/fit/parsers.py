"""The parsers of fit, validate and test, as the command line builds them where help is asked for."""

from unittest.mock import patch

from lightning.pytorch.cli import LightningArgumentParser

from lit_unlearn.commands.fit.cli import UnlearnCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.runs.folder import RunFolder


class _Built(Exception):
    """There are parsers."""


def run_parsers(model: type, *words: str) -> dict[str, LightningArgumentParser]:
    """Those of the commands for models of a class, UnlearnModule or QuestionModule.

    Args:
        model: the class.
        words: after the command; none ask for help.
    """
    found: dict[str, LightningArgumentParser] = {}
    for command in ("fit", "validate", "test"):
        cli = UnlearnCLI.__new__(UnlearnCLI)
        given = Words.read([command, *(words or ["--help"])])
        with patch.object(UnlearnCLI, "parse_arguments", side_effect=_Built):
            try:
                cli.__init__(given, RunFolder(), alone=model.__name__ == "QuestionModule")  # type: ignore[misc]
            except _Built:
                assert [*cli._subcommand_parsers] == [command]  # the others' would take as long
                found |= cli._subcommand_parsers
    return found
