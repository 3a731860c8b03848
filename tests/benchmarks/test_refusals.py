"""What a user can fix ends a command of `benchmarks` with one line and a status, without a traceback."""

import runpy
import sys
from pathlib import Path

import pytest

from lit_unlearn import cli
from lit_unlearn.errors import RunFailed

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMANDS = sorted(
    path.relative_to(BENCHMARKS.parent).with_suffix("").as_posix().replace("/", ".")
    for path in BENCHMARKS.rglob("*.py")
    if "__main__" in path.read_text()
)
REFUSED = {
    "benchmarks.study.answers": (["--only", "nothing"], "--only: there is no nothing; choose from rmu, rna, mixing"),
    "benchmarks.study.attacks": (["--only", "nothing"], "--only: there is no nothing; choose from base, rmu"),
    "benchmarks.study.hidden_rows": (["--out", "."], "--out: . exists already; give another folder, or remove it"),
    "benchmarks.study.real": (
        ["smollm2-rmu", "--topic=war", "--tables", "--only=no"],
        "--only: there is no no;",
    ),
    "benchmarks.study.results": (["methods", "--only", "nothing"], "--only: there is no nothing; choose from"),
    "benchmarks.study.strays": (["--seeds", "1"], "--seeds: must be at least 2, got 1"),
    "benchmarks.study.topics": (["nowhere.tokens", "--words=a", "--out=made"], "nowhere.tokens: No such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_study_ends_with_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *words])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(name, run_name="__main__")
    shown = capsys.readouterr().err
    assert stop.value.code == 2
    assert shown.startswith(f"{name}: error: {said}")
    assert shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_so(name: str) -> None:
    text = (BENCHMARKS.parent / name.replace(".", "/")).with_suffix(".py").read_text()
    assert text.endswith(f'if __name__ == "__main__":\n    with refusals("{name}"):\n        main()\n')


def test_what_had_begun_has_another_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop, cli.refusals("benchmarks.step"):
        raise RunFailed("the loss is not a number")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "benchmarks.step: error: the loss is not a number\n"
