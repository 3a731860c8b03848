"""What the wheel holds is enough, with the packages that it asks for and without those of its extras."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def run(command: list[str | Path], folder: Path) -> str:
    """What a command prints, run away from the repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel into an environment of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("lit_unlearn", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, source], folder)
    (wheel,) = folder.glob("*.whl")
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    link_required(Requirement("lit-unlearn"), packages)
    python = folder / "venv/bin/python"
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel],
        folder,
    )
    return folder / "venv/bin/lit-unlearn"


def link_required(requirement: Requirement, packages: Path) -> None:
    """Links what a package asks for from this environment into another one, and what that asks for."""
    for line in distribution(requirement.name).requires or ():
        wanted = Requirement(line)
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in requirement.extras or {""}):
            continue
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:  # of another platform
            continue
        if link_files(found, packages) or wanted.extras:
            link_required(wanted, packages)


def link_files(found: Distribution, packages: Path) -> bool:
    """Links the files and folders of a package; whether one was not there before."""
    names = {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}
    new = {name for name in names if not (packages / name).exists()}
    for name in new:
        (packages / name).symlink_to(str(found.locate_file(name)))
    return bool(new)


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_configs_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = run([installed, "configs"], tmp_path)
    names = {path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").rglob("*.*")}
    assert {line.split()[0] for line in shown.splitlines()} == names


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_every_file_of_the_package_comes_with_the_wheel(installed: Path) -> None:
    (package,) = installed.parents[1].glob("lib/python*/site-packages/lit_unlearn")
    wanted = {path.relative_to(ROOT / "lit_unlearn") for path in (ROOT / "lit_unlearn").rglob("*") if path.is_file()}
    missing = {path for path in wanted if "__pycache__" not in path.parts and not (package / path).is_file()}
    assert not missing


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_version_is_that_of_pyproject(installed: Path, tmp_path: Path) -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert run([installed, "--version"], tmp_path).split() == ["lit-unlearn", wanted]


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_help_is_shown(installed: Path, tmp_path: Path) -> None:
    assert run([installed, "--help"], tmp_path).startswith("usage: lit-unlearn")


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_demo_world_comes_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    few = ["--data.questions=16", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    assert "retain/4-gram/control" in run([installed, "fit", "-c", "demo.yaml", *few], tmp_path)


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_a_config_is_found_by_name_and_runs(installed: Path, world: Path, tmp_path: Path) -> None:
    words = [
        f"--model.pretrained={world / 'model'}",
        f"--data.files={{bio: {world / 'alchemy.jsonl'}, cyber: {world / 'navigation.jsonl'}}}",
        f"--data.wikitext_file={world / 'gardening.jsonl'}",
        "--trainer.max_steps=2",
        "--trainer.accelerator=cpu",
    ]
    run([installed, "fit", "-c", "rmu.yaml", *words], tmp_path)
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
        path.name for path in (folder / "export").iterdir()
    }
