import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(command: list[str | Path], folder: Path) -> str:
    """What a command prints, run away from the repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1800
    )
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
    run([sys.executable, "-m", "venv", folder / "venv"], folder)
    pip: list[str | Path] = [
        folder / "venv/bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        ROOT / "constraints.txt",
    ]
    run([*pip, wheel], folder)
    return folder / "venv/bin/lit-unlearn"


@pytest.mark.slow
def test_configs_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = run([installed, "configs"], tmp_path)
    names = {path.relative_to(ROOT / "configs").as_posix() for path in (ROOT / "configs").rglob("*.*")}
    assert {line.split()[0] for line in shown.splitlines()} == names


@pytest.mark.slow
def test_every_file_of_the_package_comes_with_the_wheel(installed: Path) -> None:
    (package,) = installed.parents[1].glob("lib/python*/site-packages/lit_unlearn")
    wanted = {path.relative_to(ROOT / "lit_unlearn") for path in (ROOT / "lit_unlearn").rglob("*") if path.is_file()}
    missing = {path for path in wanted if "__pycache__" not in path.parts and not (package / path).is_file()}
    assert not missing


@pytest.mark.slow
def test_help_is_shown(installed: Path, tmp_path: Path) -> None:
    assert run([installed, "--help"], tmp_path).startswith("usage: lit-unlearn")


@pytest.mark.slow
def test_the_demo_world_comes_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    few = ["--data.questions=16", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    assert "retain/4-gram/control" in run([installed, "fit", "-c", "demo.yaml", *few], tmp_path)


@pytest.mark.slow
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
