"""`lit-unlearn repair` on a finished run, through the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from lit_unlearn import cli
from lit_unlearn.commands.repair import _beside
from tests.processes import run_command


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fit with an export."""
    folder = tmp_path_factory.mktemp("repair")
    texts = {name: f"{name}: {{path: {world / name}.jsonl}}" for name in ("alchemy", "gardening")}
    run_command(
        [
            *("fit", "-c", "local.yaml", f"--model.pretrained={world / 'model'}"),
            f"--data.forget={{{texts['alchemy']}}}",
            f"--data.retain={{{texts['gardening']}}}",
            *("--data.holdout=8", "--model.optimizer.lr=1e-2", "--model.retain_weight=5", "--trainer.max_steps=4"),
            *("--trainer.val_check_interval=4", "--trainer.precision=32-true", "--trainer.accelerator=cpu"),
            f"--trainer.default_root_dir={folder / 'run'}",
        ],
        folder,
    )
    return folder / "run"


@pytest.mark.slow
def test_a_repaired_run_is_a_run(finished: Path) -> None:
    words = ["repair", "run", "--with", "closed-form", "--mu", "3", "--rows", "8"]
    run_command(words, finished.parent)
    repaired = finished.parent / "run-closed-form"
    run_command(["verify", str(repaired)], finished.parent)
    options = yaml.safe_load((repaired / "config.yaml").read_text())
    names = [one["class_path"].rpartition(".")[2] for one in options["trainer"]["callbacks"]]
    assert names[-3:] == ["UnlearnedWeights", "Repairs", "ExportPretrained"]
    evaluations = json.loads((repaired / "results.json").read_text())["evaluations"]
    assert [one.get("repaired") for one in evaluations] == [None, "closed-form-3"]
    weights = [load_file(folder / "export" / "model.safetensors") for folder in (finished, repaired)]
    changed = [name for name, value in weights[0].items() if not value.equal(weights[1][name])]
    assert changed
    assert all("down_proj" in name for name in changed)
    run_command(["report", "--method", "run", "run-closed-form", "--out", "report"], finished.parent)
    assert "run-closed-form" in (finished.parent / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--with", "closed-form"], "closed-form takes one of --mu or --nll-rise or --answer-logprob, got none"),
        (["--with", "null-space", "--mu", "3"], "null-space takes one of --energy, got --mu"),
        (["--with", "closed-form", "--mu", "3", "--nll-rise", "2"], "got --mu and --nll-rise; give one"),
        (["--with", "closed-form", "--mu", "3", "--mixing", "{rate: 1"], "--mixing '{rate: 1' is not YAML; give e.g."),
        (["--with", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    written: Callable[..., Path], words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["repair", str(written()), *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert reason in error
    assert error.count("\n") == 1


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes the folder of a run of which nothing but its options is read."""

    def write(export: bool = True, finished: bool = True, model: Any = None) -> Path:
        options = {"model": model or {"forget": {"class_path": "RMU"}}, "trainer": {"callbacks": None}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(options))
        if export:
            (tmp_path / "export").mkdir()
        if finished:
            (tmp_path / "SHA256SUMS").touch()
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"finished": False}, "is not a finished run; give the folder"),
        ({"export": False}, "has no unlearned model in"),
        ({"model": {"pretrained": "demo"}}, "has no unlearned model in"),
    ],
)
def test_what_is_no_finished_run_is_refused(
    written: Callable[..., Path], options: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["repair", str(written(**options)), "--with", "closed-form", "--mu", "1"])
    assert reason in capsys.readouterr().err


def test_the_folder_of_a_repair_is_beside_the_run_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "export").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "export")
    assert _beside(Path("../../other"), "null-space") == Path("../../other-null-space")
    for given in (Path(".."), Path("../../run")):
        assert _beside(given, "null-space").resolve() == tmp_path / "run-null-space"
    monkeypatch.chdir(tmp_path / "run")
    assert _beside(Path(), "closed-form") == tmp_path / "run-closed-form"
