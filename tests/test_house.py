"""The tree: rooms, what stands in the root, a test for each file, and the import rule."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "lit_unlearn", ROOT / "tests"
OUTSIDE_PACKAGE = {"bad_input", "benchmarks"}
"""Folders of tests that no room of the package mirrors."""


def modules(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")


def rooms(folder: Path, *, within: Path) -> set[str]:
    """Folders with Python files, at any depth."""
    return {path.parent.relative_to(within).as_posix() for path in folder.rglob("*.py")} - {"."}


@pytest.mark.parametrize("room", ["losses", "callbacks", "commands/analysis"])
def test_every_file_has_a_test_file_of_its_name(room: str) -> None:
    wanted = [f"test_{name}" for name in modules(PACKAGE / room)]
    assert wanted
    assert [name for name in wanted if not (TESTS / room / name).is_file()] == []


def test_tests_mirror_rooms_that_are_there() -> None:
    mirrored = {room for room in rooms(TESTS, within=TESTS) if room.partition("/")[0] not in OUTSIDE_PACKAGE}
    assert mirrored <= rooms(PACKAGE, within=PACKAGE)
    studies = rooms(TESTS / "benchmarks", within=TESTS)
    assert studies <= rooms(ROOT / "benchmarks", within=ROOT)


def test_five_files_stand_in_the_root() -> None:
    found = {path.stem for path in PACKAGE.glob("*.py")}
    assert found == {"__init__", "__main__", "cli", "errors", "randomness"}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    shutil.copytree(PACKAGE, tmp_path / "lit_unlearn", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_rule_is_kept_and_looks_at_the_whole_package(house: Path) -> None:
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout
    analysed, dependencies = map(int, re.findall(r"Analyzed (\d+) files, (\d+) dependencies", done.stdout)[0])
    assert analysed > 100
    assert dependencies > analysed
    assert "Contracts: 2 kept, 0 broken" in done.stdout


def test_an_import_from_a_line_above_breaks_the_rule(house: Path) -> None:
    with (house / "lit_unlearn" / "losses" / "rmu.py").open("a") as file:
        file.write("\nimport lit_unlearn.commands\n")
    done = lint_imports(house)
    assert done.returncode != 0
    assert "Contracts: 1 kept, 1 broken" in done.stdout
    assert "lit_unlearn.losses.rmu -> lit_unlearn.commands" in done.stdout


def test_a_room_that_no_contract_names_breaks_the_rule(house: Path) -> None:
    (house / "lit_unlearn" / "attic").mkdir()
    (house / "lit_unlearn" / "attic" / "__init__.py").touch()
    done = lint_imports(house)
    assert done.returncode != 0
    assert "attic" in done.stdout


def test_a_contract_without_layers_does_not_pass(house: Path) -> None:
    config = (house / "pyproject.toml").read_text()
    emptied, count = re.subn(r"(?ms)^layers = \[.*?^\]", "layers = []", config)
    assert count == 2
    (house / "pyproject.toml").write_text(emptied)
    assert lint_imports(house).returncode != 0


def test_every_folder_is_a_layer_and_no_import_is_ignored() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = {contract["containers"][0]: contract for contract in contracts}
    assert held.keys() == {"lit_unlearn", "lit_unlearn.commands"}
    for container, contract in held.items():
        assert contract["type"] == "layers"
        assert contract["exhaustive"]
        assert not contract.get("ignore_imports")
        layers = {name.strip() for line in contract["layers"] for name in re.split(r"[|:]", line)}
        folder = ROOT / container.replace(".", "/")
        there = {path.parent.name for path in folder.glob("*/__init__.py")} | {
            Path(name).stem for name in modules(folder)
        }
        assert layers == there
