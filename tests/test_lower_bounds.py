import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_ROOT = Path(__file__).parents[1]


def declared() -> dict[str, Version]:
    """The lower bound of each package that a user installs, by its canonical name."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for name in extras if name not in ("dev", "docs") for line in extras[name]),
    ]
    found: dict[str, Version] = {}
    for requirement in map(Requirement, lines):
        (bound,) = (one.version for one in requirement.specifier if one.operator in (">=", "=="))
        found[canonicalize_name(requirement.name)] = Version(bound)
    return found


def installed() -> dict[str, Version]:
    """The versions that `make test-bounds` installs."""
    lines = (_ROOT / "tests" / "lower-bounds.txt").read_text(encoding="utf-8").splitlines()
    found: dict[str, Version] = {}
    for requirement in (Requirement(line) for line in lines if not line.startswith("#")):
        (pinned,) = requirement.specifier
        assert pinned.operator == "=="
        found[canonicalize_name(requirement.name)] = Version(pinned.version)
    return found


def test_what_is_declared_is_what_is_tested() -> None:
    assert len(declared()) >= 14
    assert installed() == declared()
