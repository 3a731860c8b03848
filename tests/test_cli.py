import os
import subprocess
import sys
from pathlib import Path

import pytest

import lit_unlearn
from lit_unlearn import cli
from lit_unlearn.commands.options import config_files
from lit_unlearn.errors import InputError
from tests.fast import only

HEAVY = ("torch", "torchmetrics", "lightning", "transformers", "datasets", "lm_eval", "jsonargparse")


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(words)
    shown = capsys.readouterr().out
    assert shown.startswith("usage: lit-unlearn")
    assert all(f"\n  {name} " in shown for name in cli._COMMANDS)


@pytest.mark.parametrize("word", ["--help", "--version", "configs"])
def test_light_commands_import_nothing_heavy(word: str, tmp_path: Path) -> None:
    code = f"import sys; from lit_unlearn.cli import main; main([{word!r}]); print(*sys.modules)"
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(done.stdout.splitlines()[-1].split())


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out.split() == ["lit-unlearn", lit_unlearn.__version__]


def test_configs_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["configs"])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["rmu.yaml"].startswith("RMU with Random Noise Augmentation")
    assert lines["trainer/ddp.yaml"].startswith("Overlay: DDP")
    assert lines["launch/slurm.sh"].startswith("A job of SLURM: fit on several machines")


@pytest.mark.parametrize("name", ["demo.yaml", "launch/slurm.sh"])
def test_one_is_shown_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["configs", name])
    assert capsys.readouterr().out == (config_files.folder() / name).read_text()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["fti"], "'fti' is not a command; did you mean 'fit'?"),
        (["unlearn-it"], "'unlearn-it' is not a command; choose one of fit, validate, test, "),
        (["-c", "rmu.yaml"], "'-c' is not a command; choose one of"),
        (["configs", "slurm.sh"], "configs: there is no shipped file 'slurm.sh'; did you mean launch/slurm.sh?"),
        (["configs", "demo.yaml", "x"], "configs: takes one name at most, got 'x' as well"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(
    words: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    shown = capsys.readouterr().err
    assert stop.value.code == 2
    assert shown.startswith(f"lit-unlearn: error: {match}")
    assert shown.count("\n") == 1


def test_a_message_of_many_lines_becomes_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(words: list[str]) -> None:
        raise InputError("one\n  two\nthree")

    monkeypatch.setitem(cli._COMMANDS, "configs", refuse)
    with pytest.raises(SystemExit):
        cli.main(["configs"])
    assert capsys.readouterr().err == "lit-unlearn: error: one two three\n"


@pytest.mark.parametrize("words", [["--debug", "fti"], ["fti", "--debug"]])
def test_debug_shows_the_traceback(words: list[str]) -> None:
    with pytest.raises(InputError, match="'fti' is not a command"):
        cli.main(words)


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._COMMANDS, "configs", interrupt)
    with pytest.raises(SystemExit) as stop:
        cli.main(["configs"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "lit-unlearn: interrupted\n"


def test_the_module_runs_as_the_command_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lit_unlearn", "fit", "-c", "rmy.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr == (
        "lit-unlearn: error: --config: there is no file 'rmy.yaml' and no shipped config of that name; "
        "did you mean rmu.yaml?\n"
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", only([["configs"], ["--help"], ["fit", "-c", "demo.yaml", "--print_config"]], ["configs"], ["--help"])
)
def test_a_reader_that_has_gone_ends_a_command_quietly(words: list[str], unbuffered: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "lit_unlearn", *words],
            cwd=tmp_path,
            env=environment,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    assert done.returncode == 141
    assert done.stderr == b""


def test_another_broken_pipe_is_not_hidden(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def break_off(words: list[str]) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setitem(cli._COMMANDS, "configs", break_off)
    with pytest.raises(BrokenPipeError):
        cli.main(["configs"])
