"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = {
    "report": tuple(f"lit_unlearn/commands/{command}/" for command in ("report", "analysis", "attack", "scale")),
    "tune": ("lit_unlearn/commands/sweep/",),
    "lora": ("lit_unlearn/models/lora", "lit_unlearn/models/adapter"),
}
"""Where the packages of an extra may be imported."""


def names(requirements: list[str]) -> set[str]:
    """Normalised names of the distributions that requirements ask for."""
    return {str(canonicalize_name(Requirement(requirement).name)) for requirement in requirements}


def imported(source: str) -> Iterator[str]:
    """Top-level names of all imports in a file, those within functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module.split(".")[0]


def distributions() -> dict[str, set[str]]:
    """Distributions that each file of the package imports from."""
    known = packages_distributions()
    found = {}
    for path in sorted((ROOT / "lit_unlearn").rglob("*.py")):
        third = set(imported(path.read_text(encoding="utf-8"))) - set(sys.stdlib_module_names) - {"lit_unlearn"}
        found[path.relative_to(ROOT).as_posix()] = names([known[name][0] for name in third])
    return found


def undeclared(file: str, used: set[str]) -> set[str]:
    """Those of the distributions that a file uses without a declaration for it."""
    allowed = names(PROJECT["dependencies"])
    for extra, homes in EXTRAS.items():
        if file.startswith(homes):
            allowed |= names(PROJECT["optional-dependencies"][extra])
    return used - allowed


def test_what_is_imported_is_declared() -> None:
    missing = {file: found for file, used in distributions().items() if (found := undeclared(file, used))}
    assert missing == {}


def test_an_import_without_a_declaration_is_found() -> None:
    assert set(imported("def f():\n    import pandas.api\n    from requests import get\nfrom .a import b")) == {
        "pandas",
        "requests",
    }
    assert undeclared("lit_unlearn/data/files.py", {"torch", "pandas", "optuna"}) == {"pandas", "optuna"}
    assert undeclared("lit_unlearn/commands/sweep/grid.py", {"optuna"}) == set()


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_what_is_declared_is_imported(extra: str | None) -> None:
    declared = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    assert names(declared) - set().union(*distributions().values()) == set()


def test_every_lower_bound_has_its_reason() -> None:
    for requirement in [*PROJECT["dependencies"], *(one for extra in EXTRAS for one in extras(extra))]:
        assert re.search(rf'^    "{re.escape(requirement)}", *# \w', TEXT, re.MULTILINE), requirement
        assert re.search(r"[>=]=", requirement), requirement


def extras(name: str) -> list[str]:
    found: list[str] = PROJECT["optional-dependencies"][name]
    return found
