from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.commands.report.options import options, origin, split
from lit_unlearn.commands.report.runs import each_run, load
from tests.commands.report.made import BASE, evaluation, write_run

AFTER = evaluation(9, forget=25, retain=97, perturbed=50, control=93)
CONFIG = """\
seed_everything: {seed}
model: {{noise_scale: {noise}}}
trainer:
  max_steps: {steps}
  default_root_dir: runs/{seed}-{noise}
  callbacks:
    - class_path: lit_unlearn.PerturbationRobustness
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [written("rmu", noise=0.0, seeds=(0, 1)), written("rna", noise=1.5, seeds=(0, 1), steps=200)]


def written(name: str, *, noise: float, seeds: tuple[int, ...], steps: int = 300) -> str:
    for seed in seeds:
        told: dict[str, Any] = {
            "hyperparameters": {"forget": "RMU()", "noise_scale": noise, "trained": ["a", "b"], "seed": seed},
            "seed": seed,
            "versions": {"torch": "2.13.0", "lightning": "2.6.6"},
        }
        config = CONFIG.format(seed=seed, noise=noise, steps=steps)
        write_run(Path(name) / f"seed-{seed}", BASE, AFTER, config=config, **told)
    return name


def test_options_are_those_of_the_results(runs: list[str]) -> None:
    assert options(load(runs)[1]) == {
        "forget": "RMU()",
        "noise_scale": "0.0",
        "trained": "a, b",
        "seed": "0, 1",
        "versions": "torch 2.13.0, lightning 2.6.6",
    }


def test_what_differs_is_told_from_what_is_shared(runs: list[str]) -> None:
    differing, shared = split(each_run(load(runs)))
    assert differing == {"trainer.max_steps": ["300", "200"], "noise_scale": ["0.0", "1.5"]}
    assert shared == {"forget": "RMU()", "trained": "a, b", "seed": "0, 1", "versions": "torch 2.13.0, lightning 2.6.6"}


def test_without_configs_the_results_say_what_differs(runs: list[str]) -> None:
    for seed in (0, 1):
        Path(f"rna/seed-{seed}/config.yaml").unlink()
    assert split(each_run(load(runs)))[0] == {"noise_scale": ["0.0", "1.5"]}


def test_an_option_that_only_one_run_has_is_a_dash_for_the_other(runs: list[str]) -> None:
    path = Path("rna/seed-0/config.yaml")
    path.write_text(
        f"{path.read_text()}    - {{class_path: lit_unlearn.Interpolation, init_args: {{shares: [0.5]}}}}\n"
    )
    assert split(each_run(load(runs)))[0]["trainer.callbacks.Interpolation.shares"] == ["–", "0.5"]


def test_the_command_repeats_the_run_in_a_new_folder(runs: list[str]) -> None:
    Path("rna").rename("r n a")
    found = origin(load(["r n a"])[1])
    assert found.commands == [
        f"lit-unlearn fit -c 'r n a/seed-{seed}/config.yaml' --trainer.default_root_dir null" for seed in (0, 1)
    ]
    assert "max_steps: 200" in found.config


def test_a_run_that_no_command_launched_has_no_command(tmp_path: Path) -> None:
    found = origin(load([write_run(tmp_path / "rmu", BASE, AFTER)])[1])
    assert (found.commands, found.config) == ([], "")
