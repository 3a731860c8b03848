"""Each command on two runs: its numbers, computed otherwise, and what it refuses."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lit_unlearn.cli import main
from tests.commands.analysis.conftest import WriteRun


@pytest.fixture(scope="module")
def others(write_run: WriteRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that do not go with the others."""
    folder = tmp_path_factory.mktemp("others")
    return {
        "deep": write_run(folder / "deep", change=0.1, noise_scale=0.5, layer=3),
        "npo": write_run(folder / "npo", change=0.1, forget="NPO"),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["maxlogit", "{method}", "--questions=0"], "analyse maxlogit: --questions: must be at least 1, got 0"),
        (
            ["reject-probability", "{rna}", "{method}"],
            "noise_scale is 0.5 in .*rna and 0.0 in .*method; give first a run",
        ),
        (
            ["reject-probability", "{method}", "{deep}"],
            "method steers layer 2, .*deep layer 3; give runs that differ in",
        ),
        (["maxlogit", "{method}", "--data.evaluation=null"], "method: there are no questions; give some"),
        (["alignment", "{npo}"], "npo: NPO steers to no vector; give runs of RMU, AdaptiveRMU or RSV"),
        (
            ["alignment", "{method}", "--model.state_unit=rms"],
            "model.state_unit: rms steers states in units of",
        ),
        (["streams", "{method}", "--rows=3"], "alchemy has 3 forget and 3 retain rows; 4 of each are needed"),
        (
            ["maxlogit", "{method}", "--model.layr=3"],
            "method: model.layr: there is no such option; did you mean model.layer",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    words: list[str],
    message: str,
    method: Path,
    rna: Path,
    others: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = {"method": method, "rna": rna, **others}
    with pytest.raises(SystemExit) as stop:
        main(["analyse", *(word.format(**runs) for word in words), f"--out={tmp_path / 'out'}"])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["matplotlib", "scipy"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, method: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] == missing or name.startswith("lit_unlearn.commands.analysis.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit):
        main(["analyse", "output-variance", str(method)])
    assert f"{missing} is not installed; pip install 'lit-unlearn[report]'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["streams", "maxlogit", "reject-probability"])
def test_help_shows_the_paths(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):  # of the parser itself, where there is no text for the installed versions
        main(["analyse", name, "--help"])
    assert "finished run" in capsys.readouterr().out


def test_help_names_every_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["analyse", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("maxlogit", "output-variance", "reject-probability", "alignment", "streams"))
