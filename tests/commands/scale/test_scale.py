"""The command: what it refuses, and that the config which it writes is what it has tried."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.losses.rmu import RMU

QUICK = ["--steps", "8", "--probes", "2", "--forget", "0.001", "--retain", "50"]


def own(world: Path, folder: Path) -> str:
    """A config of the demo's texts, with rows held out."""
    sources = {name: {"path": str(world / f"{name}.jsonl")} for name in ("alchemy", "gardening")}
    data = {"forget": {"alchemy": sources["alchemy"]}, "retain": {"gardening": sources["gardening"]}, "holdout": 8}
    model = {"pretrained": str(world / "model"), "layer": 1, "noise_scale": 0.1}
    options = {"model": model, "data": {"class_path": "UnlearnDataModule", "init_args": data}}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(options))
    return str(path)


@pytest.mark.slow
def test_what_is_written_is_what_was_tried(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-c", "local.yaml", "-c", own(world, tmp_path), "--trainer.precision", "32-true"]
    with suppress(SystemExit):  # whether 8 steps reach it does not matter here
        main(["scale", *words, *QUICK, "--out", "found", "--write", "mine.yaml"])
    told = capsys.readouterr().out
    assert Path("mine.yaml").read_text() == Path("found/overlay.yaml").read_text()
    assert {path.name for path in Path("found").iterdir()} >= {"overlay.yaml", "scale.json", "scale.png"}
    found = json.loads(Path("found/scale.json").read_text())
    best = found["probes"][found["best"]]
    assert best["forget"]["after"] != best["forget"]["before"]
    steps = len(best["forget_loss"])
    assert steps == 8  # too few for one of them to be given up
    assert ("reached *" in told) is found["reached"]

    config = ConfigCLI(Words.read([*words, "-c", "mine.yaml"], command="fit"))
    module, forget = config.model, config.model.forget
    assert isinstance(forget, RMU)
    assert (forget.coefficient.values, forget.coefficient.unit) == (4.0, "norm")
    assert (module.state_unit, module.first_token, module.noise_unit) == ("rms", False, "rms")
    assert module.retain_weight.values == best["retain_weight"]
    options = module._optimizer().defaults
    assert options["lr"] == best["learning_rate"]
    assert (options["weight_decay"], options["eps"]) == (0, 1e-8)  # the config's own are kept

    main(["fit", *words, "-c", "mine.yaml", "--trainer.callbacks", "null"])
    losses = [line.split(",") for line in next(Path("runs").glob("local-*/metrics.csv")).read_text().splitlines()]
    column = losses[0].index("train/forget_loss")
    logged = [float(line[column]) for line in losses[1:] if line[column]]
    assert logged[:steps] == pytest.approx(best["forget_loss"], rel=1e-4)


@pytest.mark.slow
def test_what_is_not_reached_is_said(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-c", "local.yaml", "-c", own(world, tmp_path), "--steps", "2", "--probes", "1", "--forget", "90"]
    with pytest.raises(SystemExit) as status:
        main(["scale", *words, "--out", "found"])
    assert status.value.code == 1
    told = capsys.readouterr()
    assert "No setting that was tried reaches that" in told.out
    assert not [one for one in recwarn if "lit-unlearn scale" in str(one.message)]  # which is what runs here
    assert "norms measured, layer" in told.err
    assert not json.loads(Path("found/scale.json").read_text())["reached"]


@pytest.mark.slow
def test_the_rise_of_the_configs_own_callback_is_aimed_at(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stop = ["--trainer.callbacks+=StopAtForgetting", "--trainer.callbacks.rise=90"]
    words = ["-c", "local.yaml", "-c", own(world, tmp_path), *stop]
    with pytest.raises(SystemExit):
        main(["scale", *words, "--steps", "2", "--probes", "1", "--out", "found"])
    assert json.loads(Path("found/scale.json").read_text())["aim"]["forget"] == 90
    callbacks = ConfigCLI(Words.read([*words, "-c", "found/overlay.yaml"], command="fit")).config_init["fit"].trainer
    assert [type(one).__name__ for one in callbacks.callbacks].count("StopAtForgetting") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data.holdout", "0"], r"scale: data.holdout: no rows are held out"),
        (["--layer", "99"], r"scale.layer: there is no layer 99; the model has 0 to [0-9]"),
        (["--write", "mine.txt"], r"--write: mine.txt is not a name of a config"),
        (
            ["--trainer.callbacks+=RetainSchedule"],
            r"scale: trainer.callbacks: RetainSchedule changes what a training does.*; leave it out",
        ),
        (["--steps", "0"], r"scale.steps: must be at least 1, got 0"),
        (
            ["--trainer.callbacks+=StopAtForgetting", "--trainer.callbacks.rise=2", "--forget", "3"],
            r"scale.forget: 3 nats are asked for, and the config's StopAtForgetting ends a run at 2",
        ),
        (
            [f"--model.lr_scheduler{rest}" for rest in ("=OneCycleLR", ".max_lr=0.01", ".total_steps=99")],
            r"scale: model.lr_scheduler sets learning rates of its own.*--model.lr_scheduler null",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    words: list[str], told: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = own(world, tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, SystemExit)):
        main(["scale", "-c", "local.yaml", "-c", config, *words, "--debug"])
    with pytest.raises(InputError, match=told):
        main(["scale", "-c", "local.yaml", "-c", config, *words, "--debug"])
    assert [path.name for path in tmp_path.iterdir()] == ["own.yaml"]
