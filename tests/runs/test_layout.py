import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_unlearn.runs import layout

ROOT = Path(layout.__file__).parents[2]
FILES = [path for room in ("lit_unlearn", "benchmarks") for path in sorted((ROOT / room).rglob("*.py"))]
NAMES = [value for name, value in vars(layout).items() if name.isupper()]
_HELP = ("help", "description", "epilog", "usage")


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and value of each string of a file but for docstrings and what `--help` shows."""
    tree = ast.parse(source)
    shown: list[ast.expr] = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    shown += [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in _HELP]
    exempt = {id(inner) for node in shown for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in exempt:
            yield node.lineno, node.value


def named(text: str) -> list[str]:
    """The names that a text holds; those without a suffix are words too, so that only a text of nothing else counts."""
    return [name for name in NAMES if (name in text if "." in name else name == text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_names_of_a_runs_files_are_written_once(path: Path) -> None:
    if path != Path(layout.__file__):
        found = {line: names for line, text in texts(path.read_text(encoding="utf-8")) if (names := named(text))}
        if path.is_relative_to(ROOT / "benchmarks"):  # whose phases are called after what they write
            found = {line: names for line, names in found.items() if names != [layout.EXPORT]}
        assert found == {}


def test_a_name_written_again_is_found_but_not_in_texts_for_readers() -> None:
    source = 'def f(parser):\n    """results.json"""\n    parser.add(help=f"results.json of {1}", out="x/results.json")'
    assert [(line, named(text)) for line, text in texts(source)] == [(3, ["results.json"])]
    assert named("export") == ["export"]
    assert named("an export of the model") == []


def test_each_name_is_another() -> None:
    assert len(set(NAMES)) == len(NAMES) > 15
