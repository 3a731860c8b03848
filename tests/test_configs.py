import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lit_unlearn import shipped
from lit_unlearn.cli import main

RECIPES = ("rmu.yaml", "adaptive_rmu.yaml", "rsv.yaml")
MODELS = ("model/mistral-7b.yaml", "model/llama-3-8b.yaml")
STRATEGIES = ("trainer/ddp.yaml", "trainer/fsdp2.yaml")
RUNS = {
    "local.yaml": ["local.yaml"],
    **{name: [name] for name in RECIPES},
    **{name: ["rmu.yaml", name] for name in (*MODELS, *STRATEGIES)},
}
"""Every shipped config, and the files with which it is used."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(names: list[str], *options: str) -> list[str]:
    return ["fit", *(word for name in names for word in ("-c", name)), *options]


def small_world(world: Path, *, wmdp: bool) -> list[str]:
    """Model and data in place of those that a config names, and two steps."""
    files = {name: str(world / f"{name}.jsonl") for name in ("alchemy", "navigation", "gardening")}
    data = [
        f"--data.files={{bio: {files['alchemy']}, cyber: {files['navigation']}}}",
        f"--data.wikitext_file={files['gardening']}",
    ]
    paths = {name: f"{{{name}: {{path: {file}}}}}" for name, file in files.items()}
    own = [f"--data.forget={paths['alchemy']}", f"--data.retain={paths['gardening']}", "--data.holdout=8"]
    # Two steps at the published learning rate would not show in a bf16 export.
    limits = ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--model.optimizer.lr=0.01"]
    return [f"--model.pretrained={world / 'model'}", *(data if wmdp else own), *limits]


def printed(names: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit) as stop:
        main(fit(names, "--print_config"))
    assert stop.value.code == 0
    parsed: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return parsed


def changed(export: Path, source: Path) -> list[str]:
    before, after = load_file(source / "model.safetensors"), load_file(export / "model.safetensors")
    assert before.keys() == after.keys()
    return [name for name, value in after.items() if not torch.equal(value, before[name].to(value.dtype))]


def test_every_shipped_config_is_tested() -> None:
    assert {*RUNS, "demo.yaml"} == set(shipped.names())


@pytest.mark.parametrize("name", RUNS)
def test_a_config_parses_and_is_complete(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    parsed = printed(RUNS[name], capsys)
    assert parsed["model"]["forget"]["class_path"].startswith("lit_unlearn.")
    assert parsed["trainer"]["max_steps"] > 0
    assert not any(Path().iterdir())


@pytest.mark.parametrize("name", [name for name in RUNS if name not in STRATEGIES])
def test_a_config_runs_and_exports(name: str, world: Path) -> None:
    main(fit(RUNS[name], *small_world(world, wmdp=name != "local.yaml")))
    (run,) = Path("runs").iterdir()
    assert run.name.startswith(Path(RUNS[name][0]).stem)
    assert len((run / "metrics.csv").read_text().splitlines()) >= 3
    trained = [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]
    assert changed(run / "export", world / "model") == trained


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_runs_on_two_processes(name: str, world: Path) -> None:
    words = fit(["local.yaml", name], *small_world(world, wmdp=False))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lit_unlearn", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = Path("runs").iterdir()
    assert changed(run / "export", world / "model")


@pytest.mark.parametrize(
    ("name", "method", "number", "noise_scale"),
    [
        ("rmu.yaml", "RMU", {"coefficient": 6.5}, 0.03),
        ("adaptive_rmu.yaml", "AdaptiveRMU", {"scale": 3.0}, 0.08),
        ("rsv.yaml", "RSV", {"coefficient": 10.0}, 0.09),
    ],
)
def test_recipes_follow_the_published_ones(
    name: str, method: str, number: dict[str, float], noise_scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed = printed([name], capsys)
    model, data, trainer = parsed["model"], parsed["data"]["init_args"], parsed["trainer"]
    assert model["pretrained"] == "HuggingFaceH4/zephyr-7b-beta"
    assert model["forget"]["class_path"] == f"lit_unlearn.{method}"
    assert number.items() <= model["forget"]["init_args"].items()
    assert model["retain"]["class_path"] == "lit_unlearn.RepresentationMSE"
    assert (model["retain_weight"], model["noise_scale"], model["layer"]) == (1200, noise_scale, 7)
    assert (model["noise_layer"], model["trainable"]) == (None, None)
    assert {"lr": 5e-5, "weight_decay": 0, "eps": 1e-8}.items() <= model["optimizer"]["init_args"].items()
    assert (data["topics"], data["batch_size"]) == (["bio", "cyber"], 4)
    assert data["max_length"] == {"bio": 512, "cyber": 768, "retain": 512}
    assert (trainer["max_steps"], trainer["precision"], trainer["log_every_n_steps"]) == (500, "bf16-mixed", 1)


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_of_a_recipe_has_its_source(name: str) -> None:
    lines = (shipped.folder() / name).read_text(encoding="utf-8").splitlines()
    numbers = [index for index, line in enumerate(lines) if re.match(r"\s*\w+: -?[\d.]+(e-?\d+)?( |$)", line)]
    assert len(numbers) >= 14
    for index in numbers:
        comment = lines[index].partition("#")[2] or " ".join(lines[index - 4 : index])
        assert re.search("published|ours|paper|script|default", comment, re.IGNORECASE), lines[index]


@pytest.mark.parametrize("base", RECIPES)
@pytest.mark.parametrize("overlay", MODELS)
def test_a_model_overlay_changes_the_model_alone(base: str, overlay: str, capsys: pytest.CaptureFixture[str]) -> None:
    without, laid_over = printed([base], capsys), printed([base, overlay], capsys)
    assert without["model"].pop("pretrained") != laid_over["model"].pop("pretrained")
    assert laid_over == without


@pytest.mark.parametrize("overlay", STRATEGIES)
def test_a_strategy_overlay_changes_the_trainer_alone(overlay: str, capsys: pytest.CaptureFixture[str]) -> None:
    without, laid_over = printed(["rmu.yaml"], capsys), printed(["rmu.yaml", overlay], capsys)
    assert laid_over["trainer"].pop("devices") == 2
    assert without["trainer"].pop("strategy") != laid_over["trainer"].pop("strategy")
    without["trainer"].pop("devices")
    assert laid_over == without
