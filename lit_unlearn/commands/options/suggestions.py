"""The options and classes that exist, for suggestions."""

import inspect
import pydoc
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, get_args

_NOT_OPTIONS = ("self", "args", "kwargs", "params", "optimizer")
"""Arguments that no user gives: optimizers and schedulers get the first of theirs from the module."""


def keys(parser: ArgumentParser) -> list[str]:
    """Every option; where the parser is that of all commands, those of the commands."""
    choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    parsers = [inner for commands in choices for inner in commands.values()] or [parser]
    return [action.dest for inner in parsers for action in inner._actions if not action.dest.endswith("help")]


def arguments(class_path: str) -> list[str]:
    """What a class takes, its bases' arguments included where it passes them on."""
    return _parameters(pydoc.locate(class_path))


def class_names(parser: ArgumentParser, key: str, *, within: str = "", taking: str | None = None) -> list[str]:
    """Short names of the classes that an option takes, as far as they are imported.

    Args:
        parser: the one that knows the options.
        key: of the option.
        within: how the names of their modules begin.
        taking: an option that they must have; None takes any class.
    """
    action = next((action for action in parser._actions if action.dest == key), None)
    found = {cls for base in _classes(getattr(action, "_typehint", None)) for cls in _subclasses(base)}
    named = (cls for cls in found if cls.__name__[0] != "_" and cls.__module__.startswith(within))
    whole = (cls for cls in named if not inspect.isabstract(cls))
    return sorted({cls.__name__ for cls in whole if taking is None or taking in _parameters(cls)})


def _parameters(found: Any) -> list[str]:
    names: dict[str, None] = {}
    for cls in getattr(found, "__mro__", ()):
        if "__init__" in vars(cls) and cls is not object:
            own = inspect.signature(vars(cls)["__init__"]).parameters
            names |= dict.fromkeys(own)
            if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in own.values()):
                break  # nothing is passed on that a base would name
    return [name for name in names if name not in _NOT_OPTIONS]


def _classes(typehint: Any) -> Iterator[type]:
    """The classes in a type; of a callable, what it returns."""
    if isinstance(typehint, type) and not get_args(typehint) and typehint.__module__ != "builtins":
        yield typehint
    for inner in get_args(typehint):
        yield from _classes(inner)


def _subclasses(cls: Any) -> Iterator[Any]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)
