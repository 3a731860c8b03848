"""One parser for all commands of a test session: to build it takes longer than what most refusals test.

Tests that run a command in a process of its own build a parser of their own.
"""

from typing import Any

from lit_unlearn.commands.fit.cli import UnlearnCLI

_setup_parser = UnlearnCLI.setup_parser
_BUILT = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
_built: dict[tuple[object, object], dict[str, Any]] = {}


def setup_shared_parser(cli: UnlearnCLI, *args: Any, **kwargs: Any) -> None:
    """In place of `UnlearnCLI.setup_parser`: the parser of an earlier command of this kind, if there was one."""
    kind = (type(cli), cli._model_class)
    if kind not in _built:
        _setup_parser(cli, *args, **kwargs)
        _built[kind] = {name: getattr(cli, name) for name in _BUILT}
    vars(cli).update(_built[kind])
    for parser in (cli.parser, *cli._subcommand_parsers.values()):
        parser._instantiators = None  # each keeps the CLI that added it
