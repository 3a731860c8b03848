"""No option is abbreviated: one that is nearly written would run as another without a word."""

from pathlib import Path

import pytest

from lit_unlearn.cli import main

NEAR = "did you mean model.noise_scale?"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    shown = capsys.readouterr().err.partition("lit-unlearn: error: ")[2]  # a bar may stand before it
    return shown.splitlines()[0]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "-c", "demo.yaml", "--model.noise_scal", "1"],
        ["fit", "-c", "demo.yaml", "--model.noise_scal=1"],
        ["validate", "-c", "demo.yaml", "--model.noise_scal", "1"],
        ["plan", "-c", "demo.yaml", "--model.noise_scal", "1"],
        ["forget-tokens", "-c", "demo.yaml", "--model.noise_scal", "1"],
    ],
)
def test_an_option_of_fit(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(words, capsys) == f"model.noise_scal: there is no such option; {NEAR}"


@pytest.mark.slow
def test_an_option_of_the_fits_of_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-c", "demo.yaml", "--model.noise_scal", "1", "--over", "model.layer=1", "--out", "out"]
    assert NEAR in refused(["sweep", *words], capsys)


def test_an_option_for_an_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.yaml").write_text("model: {pretrained: demo}\n")
    shown = refused(["analyse", "streams", "own.yaml", "--model.noise_scal=1"], capsys)
    assert shown == f"own.yaml: model.noise_scal: there is no such option; {NEAR}"


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["eval", "--mode", "demo", "--tasks", "arc_easy"], "--mode: there is no such option; did you mean --model?"),
        (["eval", "--model=demo", "--task=arc_easy"], "--task: there is no such option; did you mean --tasks?"),
        (["report", "run", "--inc", "folder"], "--inc: there is no such option; did you mean --include?"),
        (["report", "run", "--zzz"], "--zzz: there is no such option; `lit-unlearn report --help` lists all options"),
    ],
)
def test_an_option_of_a_command_of_its_own(words: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(words, capsys) == f"{words[0]}: {near}"
