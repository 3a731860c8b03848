"""The configs that come with the package, found by name from any directory."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.errors import InputError


def folder() -> Path:
    """Where they are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def names() -> list[str]:
    """Their names, as `-c` takes them."""
    return sorted(path.relative_to(folder()).as_posix() for path in folder().rglob("*.yaml"))


def scripts() -> list[str]:
    """The names of the scripts that launch a run on several machines."""
    return sorted(path.relative_to(folder()).as_posix() for path in folder().rglob("*.sh"))


def titles() -> dict[str, str]:
    """Each config's and each script's first comment line, by name."""
    lines = {name: text(name).splitlines() for name in [*names(), *scripts()]}
    return {name: next(line for line in first if line.startswith("# ")).lstrip("# ") for name, first in lines.items()}


def text(name: str) -> str:
    """A shipped config or script.

    Raises:
        InputError: there is none of that name.
    """
    shipped = [*names(), *scripts()]
    if name not in shipped:
        hint = _did_you_mean(name, shipped, "`lit-unlearn configs` lists them")
        raise InputError(f"configs: there is no shipped file {name!r}; {hint}")
    return (folder() / name).read_text(encoding="utf-8")


def located(name: str, *, option: str = "--config") -> str:
    """The path of what `-c` and `--config` name: a file, or else a shipped config.

    Args:
        name: of either.
        option: that names it, for the error.

    Raises:
        InputError: there is neither.
    """
    if os.path.isfile(name):  # which takes a name that is too long as well
        return name
    if name in names():
        return str(folder() / name)
    hint = _did_you_mean(name, names(), "`lit-unlearn configs` lists the shipped ones")
    raise InputError(f"{option}: there is no file {name!r} and no shipped config of that name; {hint}")


def _did_you_mean(name: str, shipped: Sequence[str], otherwise: str) -> str:
    """The nearest of the shipped names as a question, or the other hint."""
    near = [f"{name}.yaml"] if f"{name}.yaml" in shipped else difflib.get_close_matches(name, shipped, n=1)
    return f"did you mean {near[0]}?" if near else otherwise
