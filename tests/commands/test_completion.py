import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_unlearn import cli
from lit_unlearn.commands.completion import SCRIPTS, candidates
from lit_unlearn.commands.options import config_files
from tests.commands.help_texts import COMMANDS
from tests.test_cli import HEAVY, run_python

ALL = [*cli._COMMANDS]


def offered(*words: str) -> list[str]:
    return candidates(words, ALL)


def test_commands_are_offered_first() -> None:
    assert offered() == offered("") == sorted(ALL)
    assert offered("re") == ["repair", "report"]


def test_a_config_is_a_shipped_one_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rmuch.yaml").touch()
    (tmp_path / "rmu.txt").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.yaml").touch()
    assert offered("fit", "-c", "rmu") == ["rmu.yaml", "rmuch.yaml"]
    assert offered("fit", "--config", "ow") == ["own/"]
    assert offered("plan", "-c", "own/") == ["own/a.yaml"]
    assert set(config_files.names()) < set(offered("fit", "-c", ""))
    assert offered("configs", "launch/") == ["launch/slurm.sh", "launch/torchrun.sh"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != ["analyse"]])
def test_each_option_of_a_commands_help_is_offered(command: list[str]) -> None:
    assert "--help" in offered(*command, "--he")


def test_options_and_their_values() -> None:
    assert offered("fit", "--model.noise_s") == ["--model.noise_scale"]
    assert offered("fit", "-c", "rmu.yaml", "--model.noise_unit", "") == ["absolute", "rms"]
    assert "SimNPO" in offered("fit", "--model.forget", "S")
    assert offered("fit", "--model.noise_unit=r") == ["--model.noise_unit=rms"]
    assert offered("fit", "--model.noise_unit", "=") == ["absolute", "rms"]  # as bash splits it
    assert offered("sweep", "--ov") == ["--over"]
    assert offered("sweep", "--model.noise_s") == ["--model.noise_scale"]
    assert offered("repair", "RUN", "--model.noise_s") == ["--model.noise_scale"]
    assert offered("verify", "--r") == ["--reference", "--run"]
    assert "maxlogit" in offered("analyse", "")
    assert offered("completion", "z") == ["zsh"]


@pytest.mark.parametrize("words", [["fit", "--model.layer", ""], ["verify", ""], ["fiit", "--mo"], ["../fit", "-"]])
def test_nothing_is_offered_where_a_file_or_text_is_expected(words: list[str]) -> None:
    assert offered(*words) == []


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from lit_unlearn.cli import main; main(['completion', 'words', 'fit', '--']); print(*sys.modules)"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_another_shell_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["completion", *words])
    assert "completion: expected bash, zsh or fish, got" in capsys.readouterr().err


def test_the_shells_of_the_help_are_those_of_the_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, script in SCRIPTS.items():
        assert f"lit-unlearn completion {shell} >" in cli.USAGES["completion"]
        cli.main(["completion", shell])
        assert capsys.readouterr().out == script


def asked_of_a_shell(shell: str, code: str, folder: Path) -> list[str]:
    """What a shell offers, in which this package's command is the one that is found."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = folder / "lit-unlearn"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m lit_unlearn "$@"\n')
    command.chmod(0o755)
    script = folder / "script"
    script.write_text(SCRIPTS[shell], encoding="utf-8")
    whole = f"PATH={folder}:$PATH\n{code.format(script=script)}"
    if shell == "fish":
        whole = f"set -x PATH {folder} $PATH\n{code.format(script=script)}"
    done = subprocess.run([shell, "-c", whole], capture_output=True, text=True, timeout=60)
    return done.stdout.split()


def test_bash_completes(tmp_path: Path) -> None:
    code = (
        "source {script}\nCOMP_WORDS=(lit-unlearn fit --model.noise_unit = r); COMP_CWORD=4\n_lit_unlearn\n"
        'echo "${{COMPREPLY[@]}}"\nCOMP_WORDS=(lit-unlearn repo); COMP_CWORD=1\n_lit_unlearn\necho "${{COMPREPLY[@]}}"'
    )
    assert asked_of_a_shell("bash", code, tmp_path) == ["rms", "report"]


def test_zsh_completes(tmp_path: Path) -> None:
    code = (
        "source {script}\nsetopt ksharrays\nCOMP_WORDS=(lit-unlearn fit --model.forget Si)\nCOMP_CWORD=3\n"
        "_lit_unlearn\nprint -r -- ${{COMPREPLY[@]}}"
    )
    assert asked_of_a_shell("zsh", code, tmp_path) == ["SimNPO"]


def test_fish_completes(tmp_path: Path) -> None:
    code = "source {script}\ncomplete -C 'lit-unlearn fit --model.noise_unit r'"
    assert "rms" in asked_of_a_shell("fish", code, tmp_path)
