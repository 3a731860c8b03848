import contextlib
import csv
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from transformers import AutoModelForCausalLM

from lit_unlearn.cli import main
from lit_unlearn.errors import InputError
from tests.fast import some
from tests.questions.test_sets import write_questions


class Run(NamedTuple):
    folder: Path
    out: str
    err: str


def options(world: Path) -> dict[str, Any]:
    """A run of two steps; class names are short."""
    return {
        "model": {
            "pretrained": str(world / "model"),
            "forget": {"class_path": "RMU", "init_args": {"coefficient": 6.5}},
            "retain": "RepresentationMSE",
            "noise_scale": 0.03,
            "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-3}},
        },
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {name: {"path": f"{world / name}.jsonl"} for name in ("alchemy", "navigation")},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
            },
        },
        "trainer": {
            "max_steps": 2,
            "accelerator": "cpu",
            "precision": "bf16-mixed",
            "log_every_n_steps": 1,
            "callbacks": [
                "ExportPretrained",
                {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 1, "save_last": True}},
            ],
        },
    }


def write(path: Path, content: dict[str, Any] | str) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def metrics(folder: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    return [{key: value for key, value in row.items() if key != "train/tokens_per_second"} for row in rows]


@pytest.fixture
def base(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`fit -c tiny.yaml` in an empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return ["fit", "-c", write(tmp_path / "tiny.yaml", options(world))]


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the command."""
    folder = tmp_path_factory.mktemp("finished")
    config = write(folder / "tiny.yaml", options(world))
    with contextlib.chdir(folder):
        main(["fit", "-c", config, "--model.layer", "6"])
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture(scope="module")
def typed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the command, as a user types it."""
    folder = tmp_path_factory.mktemp("typed")
    config = write(folder / "tiny.yaml", options(world))
    command = [sys.executable, "-m", "lit_unlearn", "fit", "-c", config, "--model.layer", "6"]
    environment = os.environ | {"TQDM_DISABLE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return Run(run, done.stdout, done.stderr)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a refused command, which leaves nothing behind."""
    before = sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(words)
    lines = capsys.readouterr().err.splitlines()
    (shown,) = (line for line in lines if line and not line.startswith("Loading weights:"))
    assert stop.value.code == 2
    assert shown.startswith("lit-unlearn: error: ")
    assert sorted(Path().rglob("*")) == before
    return shown.removeprefix("lit-unlearn: error: ")


COMMAND_LINE = {
    "--model.retain_wieght=3": "model.retain_wieght: there is no such option; did you mean model.retain_weight?",
    "--data.batchsize=3": "data.batchsize: UnlearnDataModule has no such option; did you mean batch_size?",
    "--trainer.max_stepz=3": "trainer.max_stepz: there is no such option; did you mean trainer.max_steps?",
    "--modle.layer=3": "modle.layer: there is no such option; did you mean model.layer?",
    "--zzz=3": "zzz: there is no such option; `lit-unlearn fit --help` lists all options",
    "--model.forget.coeficient=3": "model.forget.coeficient: RMU has no such option; did you mean coefficient?",
    "--model.forget.zzz=3": "model.forget.zzz: RMU has no such option; its options are coefficient, unit, seed",
    "--model.retain.zzz=3": "model.retain.zzz: RepresentationMSE has no such option; it takes none;",
    "--model.optimizer.lrr=3": "model.optimizer.lrr: AdamW has no such option; did you mean lr?",
    "--model.forget=RMUU": "model.forget: there is no class 'RMUU'; did you mean RMU?",
    "--model.forget=ExportPretrained": "model.forget: there is no class 'ExportPretrained'; choose one of AdaptiveRMU",
    "--model.forget=no.such.RMU": "model.forget: there is no class 'no.such.RMU'; did you mean RMU?",
    "--data=WMDPDataModul": "data: there is no class 'WMDPDataModul'; did you mean WMDPDataModule?",
    "--model.layer=seven": "model.layer: 'seven' cannot be used; expected int",
    "--model.layer": "model.layer: no value given; write it after the option",
    "-c": "config: no value given; write it after the option",
    "surplus": "'surplus' is not an option; options are given as --KEY VALUE or in a file after -c",
    "--model.noise_scale=abc": "model.noise_scale: 'abc' cannot be used; expected float",
    "--model.noise_scale=-1": "model.noise_scale: -1.0 is not a standard deviation; give 0 or more",
    "--model.retain=NLL": "model.noise_scale: NLL does not read the frozen model",
    "--model.layer=70": "model.layer: 70 is out of range; the model has layers 0 to 9",
    "--model.noise_layer=9": "model.noise_layer: 9 lies above layer 7",
    "--model.forget.coefficient=[1,2,3]": "model.forget.coefficient: 3 values for 2 topics (alchemy, navigation)",
    "--model.optimizer.lr=-1": "model.optimizer: Invalid learning rate: -1.0",
    "--model.optimizer.lr=fast": "model.optimizer.lr: 'fast' cannot be used; expected float",
    "--model.pretrained=nowhere": "model.pretrained: 'nowhere' cannot be loaded",
    "--data.batch_size=0": "data.batch_size: must be at least 1, got 0",
    "--data.forget.alchemy.path=nowhere.jsonl": "nowhere.jsonl: no such file",
    "--trainer.precision=bf17": "trainer.precision: 'bf17' cannot be used; did you mean bf16?",
    "--trainer.precision=16-true": "trainer.precision: '16-true' is not supported",
    "--trainer.accelerator=xpuu": "trainer: You selected an invalid accelerator name: `accelerator='xpuu'`",
    "--trainer.strategy=ddq": "trainer: You selected an invalid strategy name: `strategy='ddq'`",
    "--trainer.gradient_clip_algorithm=zzz": "trainer: `gradient_clip_algorithm` zzz is invalid",
    "--trainer.devices=0": "trainer.devices: '0' is not a number of processes on a processor; give 1 or more, or auto",
    "--ckpt_path=nowhere.ckpt": "ckpt_path: nowhere.ckpt does not exist",
    f"--ckpt_path={__file__}": f"ckpt_path: {__file__} is not a checkpoint",
}

IN_A_FILE = {
    "model: {retain_wieght: 3}": "model.retain_wieght: there is no such option; did you mean model.retain_weight?",
    "trainer: {max_stepz: 3}": "trainer.max_stepz: there is no such option; did you mean trainer.max_steps?",
    "fit: {model: {layer: 3}}": "fit.model.layer: there is no such option; did you mean model.layer?",
    "data: {init_args: {batchsize: 3}}": "data.batchsize: UnlearnDataModule has no such option; did you mean",
    "data: {init_args: {batch_size: four}}": "data.batch_size: 'four' cannot be used; expected int",
    "data: {init_args: {forget: {a: {path: a.txt, colunm: b}}}}": "data.forget.colunm: TextSource has no such option;",
    "data: {init_args: {forget: {a: {column: b}}}}": "data.forget.path: missing; give it in a file",
    "data: {init_args: {forget: {a: {path: a.txt, max_length: b}}}}": "data.forget.max_length: 'b' cannot be used;",
    "data: {init_args: {forget: [a]}}": "data.forget: ['a'] cannot be used; expected dict",
    "data: {class_path: WMDPDataModule, init_args: {topics: [chem]}}": "data.topics: ['chem'] cannot be used;",
    "data: {class_path: WMDPDataModule, init_args: {wikitext: three}}": "data.wikitext: 'three' cannot be used;",
    "data: null": "data: missing; give it in a file after -c, or as --data",
    "model: {forget: RMUU}": "model.forget: there is no class 'RMUU'; did you mean RMU?",
    "model: {forget: {class_path: RMUU}}": "model.forget: there is no class 'RMUU'; did you mean RMU?",
    "model: {forget: {class_path: RMU, init_args: {coeficient: 3}}}": "model.forget.coeficient: RMU has no such",
    "model: {forget: {class_path: RMU, init_args: {coefficient: a}}}": "model.forget.coefficient: 'a' cannot be used;",
    "model: {forget: null}": "model.forget: missing; give it in a file after -c, or as --model.forget",
    "model: {forget: [1]}": "model.forget: [1] cannot be used; expected the name of a class (Loss)",
    "model: {trainable: 3}": "model.trainable: '3' cannot be used; expected list[str]",
    "model: {optimizer: {class_path: torch.optim.AdmW}}": "model.optimizer: there is no class 'AdmW'; did you mean",
    "model: {lr_scheduler: {class_path: CosineAnnealingLR, init_args: {Tmax: 3}}}": "model.lr_scheduler.Tmax:",
    "model: {lr_scheduler: CosineAnnealingLR}": "model.lr_scheduler.T_max: missing; give it",
    "trainer: {callbacks: [ExportPretraind]}": "trainer.callbacks: there is no class 'ExportPretraind'; did you mean",
    "trainer: {callbacks: [{class_path: ExportPretrained, init_args: {foldr: a}}]}": "trainer.callbacks.foldr:",
    "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {save_last: 7}}]}": "trainer.callbacks.save_last:",
    "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {save_top_k: -5}}]}": "trainer: Invalid value for",
    "trainer: {strategy: {class_path: ModelParalelStrategy}}": "trainer.strategy: there is no class",
    "seed_everything: x": "seed_everything: 'x' cannot be used; expected bool or int",
}


@pytest.mark.parametrize("word", some(COMMAND_LINE))
def test_a_wrong_option_on_the_command_line(base: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused([*base, word], capsys).startswith(COMMAND_LINE[word])


@pytest.mark.parametrize("content", some(IN_A_FILE))
def test_a_wrong_option_in_a_file(
    base: list[str], content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = write(tmp_path / "overlay.yaml", content)
    assert refused([*base, "-c", overlay], capsys).startswith(IN_A_FILE[content])


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "model.pretrained, model.forget, model.retain, data: missing; give them in a file after -c"),
        ({"--model.pretrained": "a", "--model.retain": "NLL", "--data": "WMDPDataModule"}, "model.forget: missing;"),
        ({"--model.pretrained": "a", "--model.retain": "NLL", "--model.forget": "RMU"}, "data: missing; give it"),
    ],
)
def test_a_missing_option(
    given: dict[str, str],
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(["fit", *(word for pair in given.items() for word in pair)], capsys).startswith(missing)


def test_a_refusal_by_the_data_is_not_wrapped(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [*base, "--data=WMDPDataModule", "--data.files={chem: a.jsonl}"]
    assert refused(words, capsys) == "data: unknown topic 'chem'; WMDP's forget corpora are bio, cyber"


def test_a_refusal_by_lightning_is_told_whole(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = refused([*base, "--trainer.callbacks=[{class_path: ModelCheckpoint, init_args: {save_top_k: -5}}]"], capsys)
    assert shown == "trainer: Invalid value for save_top_k=-5. Must be >= -1"


def test_a_checkpoint_of_another_layer_is_refused_and_leaves_no_folder(
    base: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = finished / "checkpoints" / "last.ckpt"
    shown = refused([*base, "--ckpt_path", str(checkpoint), "--model.layer=4", "--trainer.max_steps=3"], capsys)
    assert shown.startswith("ckpt_path: made with another model or other trained parameters")


def test_debug_shows_the_traceback(base: list[str]) -> None:
    with pytest.raises(InputError, match=r"did you mean model\.retain_weight") as caught:
        main([*base, "--debug", "--model.retain_wieght=3"])
    assert caught.value.__traceback__ is not None


def check_folder(run: Path) -> None:
    assert run.name.startswith("tiny-")
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "hparams.yaml",
        "last.ckpt",
        "checkpoints",
        "export",
        "SHA256SUMS",
        "run.json",
    }
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert AutoModelForCausalLM.from_pretrained(run / "export").config.num_hidden_layers == 10
    assert {path.name for path in run.parents[1].iterdir()} == {"runs", "tiny.yaml"}


def test_a_run_has_a_folder_of_its_own(finished: Path) -> None:
    check_folder(finished)


@pytest.mark.slow
def test_a_run_that_is_typed_has_a_folder_of_its_own(typed: Run) -> None:
    check_folder(typed.folder)


@pytest.mark.slow
def test_a_run_says_what_concerns_the_user_only(typed: Run) -> None:
    assert "Seed set to 0" in typed.out
    assert str(Path("runs") / typed.folder.name / "export") in typed.out
    for noise in ("litlogger", "model summary", "LeafSpec", "Total length of"):
        assert noise not in typed.out + typed.err
    told = [line for line in typed.err.splitlines() if "it/s" not in line and line.strip()]
    warned = [line for line in told if line.startswith("lit-unlearn: warning: ")]
    assert len(told) == len(warned) == 2
    assert "is 0.49 mean norms of the retain states" in warned[0]
    assert "nothing was unlearned" in warned[1]


def test_a_runs_config_repeats_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        main(["fit", "-c", str(finished / "config.yaml")])
    runs = list((tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert all(run.name.startswith("tiny-") for run in runs)
    assert len(metrics(finished)) == 2
    assert [metrics(run) for run in runs] == [metrics(finished)] * 2


def test_a_printed_config_repeats_the_run(base: list[str], finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*base, "--model.layer", "6", "--print_config"])
    assert stop.value.code == 0
    assert not any(Path().iterdir())
    Path("printed.yaml").write_text(capsys.readouterr().out)
    main(["fit", "-c", "printed.yaml"])
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("printed-")
    assert metrics(run) == metrics(finished)


def test_a_config_is_printed_without_a_model(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*base, "--model.pretrained", "nowhere/at-all", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["pretrained"] == "nowhere/at-all"
    assert printed["model"]["optimizer"]["class_path"] == "torch.optim.AdamW"
    assert printed["model"]["optimizer"]["init_args"]["lr"] == 1e-3
    assert printed["trainer"]["callbacks"][0]["class_path"] == "lit_unlearn.ExportPretrained"


def test_later_files_and_options_win(base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "first.yaml", "model: {layer: 4, noise_scale: 0.5}\n")
    second = write(tmp_path / "second.yaml", "model: {layer: 3, retain_weight: 7}\n")
    with pytest.raises(SystemExit):
        main([*base, "-c", first, "-c", second, "--model.retain_weight", "9", "--print_config"])
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert (model["layer"], model["noise_scale"], model["retain_weight"]) == (3, 0.5, 9.0)


def test_a_given_folder_is_used_once(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [*base, "--trainer.default_root_dir=mine/first", "--trainer.max_steps=1"]
    main(words)
    assert {"config.yaml", "metrics.csv", "checkpoints", "export"} <= {
        path.name for path in Path("mine/first").iterdir()
    }
    assert not Path("runs").exists()
    capsys.readouterr()
    assert refused(words, capsys).startswith("trainer.default_root_dir: mine/first holds something already")


@pytest.mark.parametrize("command", ["validate", "test"])
def test_evaluation_without_training(base: list[str], command: str) -> None:
    main([command, *base[1:], "--data.holdout", "4"])
    (run,) = Path("runs").iterdir()
    assert {path.name for path in run.iterdir()} == {"config.yaml", "metrics.csv", "SHA256SUMS", "run.json"}
    prefix = {"validate": "val", "test": "test"}[command]
    assert float(metrics(run)[0][f"{prefix}/retain_loss"]) == 0.0


@pytest.fixture
def asked(world: Path, tmp_path: Path, base: list[str]) -> list[str]:
    """`validate -c asked.yaml`: the config of `base`, with questions and a model section that must not matter."""
    questions = write_questions(tmp_path / "questions.jsonl")
    content = options(world)
    content["model"] |= {"pretrained": "nowhere/at-all", "layer": 70}
    content["data"]["init_args"]["evaluation"] = {"questions": {"retain": {"path": questions.path}}}
    content["trainer"]["callbacks"].append("PerturbationRobustness")
    return ["validate", "-c", write(tmp_path / "asked.yaml", content)]


def test_a_model_is_evaluated_without_the_configs_model_section(
    world: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = write(tmp_path / "overlay.yaml", {"model": {"layer": 71}, "trainer": {"precision": "32-true"}})
    main([*asked, "--model", str(world / "model"), f"--config={overlay}"])
    (run,) = Path("runs").iterdir()
    assert run.name.startswith("asked-")
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "results.json",
        "SHA256SUMS",
        "run.json",
    }
    results = json.loads((run / "results.json").read_text())
    assert results["hyperparameters"]["pretrained"] == "model"
    assert results["hyperparameters"]["precision"] == "32-true"
    assert [record["step"] for record in results["evaluations"]] == [0]
    out = capsys.readouterr().out
    assert out.count("accuracy") == 1  # one table, not Lightning's too
    main(["validate", "-c", str(run / "config.yaml")])
    (again,) = (path for path in Path("runs").iterdir() if path != run)
    assert json.loads((again / "results.json").read_text()) == results


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.layer", "3"], "model.layer: a model evaluated without losses has no such option, only pretrained,"),
        (["--model.noise_scale=3"], "model.noise_scale: a model evaluated without losses has no such option, only"),
        (["--model.revison=v1"], "model.revison: there is no such option; did you mean model.revision?"),
        (
            ["--data.evaluation=null"],
            "data: there are no questions, no answers and no held-out rows; set data.evaluation.quest",
        ),
        (["--trainer.callbacks=null"], "trainer.callbacks: there are none, so nothing would come of the answers"),
        (["--ckpt_path=a.ckpt"], "ckpt_path: only a config with model.forget and model.retain loads one"),
        (["--trainer.precision=16-true"], "trainer.precision: '16-true' is not supported"),
    ],
)
def test_what_does_not_go_with_a_model_alone(
    asked: list[str], world: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused([*asked, "--model", str(world / "model"), *words], capsys).startswith(message)


def test_a_missing_model_is_refused_before_a_corpus_is_read(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*asked, "--model", "./nowhere", "--data.forget={a: {path: nowhere.jsonl}}"]
    assert refused(words, capsys).startswith("model.pretrained: './nowhere' cannot be loaded")


def test_lightnings_table_is_there_where_it_is_asked_for(
    asked: list[str], world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*asked, "--model", str(world / "model"), "--verbose=true"])
    assert "Validate metric" in capsys.readouterr().out


@pytest.mark.parametrize("asks", [True, False])
def test_held_out_losses_are_printed_by_lightning(
    base: list[str], tmp_path: Path, asks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "questions.jsonl").path
    evaluation = f"--data.evaluation={{questions: {{retain: {{path: {questions}}}}}}}"
    own = [evaluation, "--trainer.callbacks+=PerturbationRobustness"] if asks else []
    main(["test", *base[1:], "--data.holdout", "4", *own])
    assert "test/retain_loss" in capsys.readouterr().out


def test_a_model_alone_is_printed_without_being_there(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*asked, "--model", "no/model", "--model.revision=v1", "--print_config"])
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"].pop("pretrained") == "no/model"
    assert printed["model"].pop("revision") == "v1"
    assert printed["model"].pop("replicas") == 1
    assert not any(printed["model"].values())
    assert not any(Path().iterdir())


def test_help_of_a_model_alone_explains_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["validate", "--model", "demo", "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert "--model PATH" in shown
    assert "--model.forget" not in shown


def test_a_logger_of_ones_own_replaces_the_csv(base: list[str]) -> None:
    main([*base, "--trainer.logger=false", "--trainer.max_steps=1"])
    (run,) = Path("runs").iterdir()
    assert {path.name for path in run.iterdir()} == {
        "config.yaml",
        "last.ckpt",
        "checkpoints",
        "export",
        "SHA256SUMS",
        "run.json",
    }


def test_help_of_fit_explains_options(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):  # of the parser itself, where there is no text for the installed versions
        main(["fit", "--help"])
    shown = capsys.readouterr().out
    assert "--model.noise_scale NOISE_SCALE" in shown
    assert "standard deviation of the noise" in shown
