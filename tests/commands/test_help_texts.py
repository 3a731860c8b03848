import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from lit_unlearn import cli
from lit_unlearn.commands import help_texts
from lit_unlearn.commands.help_texts import FOLDER, file_name, help_text
from tests.commands.help_texts import COMMANDS
from tests.test_cli import HEAVY, run_python

ROOT = Path(__file__).parents[2]
WRITE = "python -m tests.commands.help_texts"


@pytest.mark.slow
def test_a_text_is_what_the_command_builds(tmp_path: Path) -> None:
    module = WRITE.rpartition(" ")[2]
    subprocess.run([sys.executable, "-m", module, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    for command in COMMANDS:
        name = file_name(command)
        assert (FOLDER / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8"), WRITE


def test_every_text_is_a_commands() -> None:
    assert {path.name for path in FOLDER.glob("*.txt")} == {file_name(command) for command in COMMANDS}


@pytest.mark.parametrize("asking", ["--help", "-h"])
def test_every_command_explains_itself_without_what_is_heavy(asking: str, tmp_path: Path) -> None:
    code = (
        "import json, sys\nfrom contextlib import redirect_stdout\nfrom io import StringIO\n"
        "from lit_unlearn.cli import main\nshown = {}\n"
        f"for command in {list(cli._COMMANDS)!r}:\n"
        "    with redirect_stdout(StringIO()) as out:\n"
        f"        try: main([command, {asking!r}])\n"
        "        except SystemExit as stop: assert not stop.code, command\n"
        "    shown[command] = out.getvalue()\n"
        "print(json.dumps([shown, list(sys.modules)]))"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    shown, imported = json.loads(done.stdout)
    assert shown.keys() == cli._COMMANDS.keys()
    for command, text in shown.items():
        assert text.startswith(("usage: lit-unlearn [options] ", f"usage: lit-unlearn {command}"))
    assert not set(HEAVY) & set(imported)


def test_the_help_of_fit_takes_less_than_half_a_second_of_the_processor(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    cli.main(["fit", "--help"])
    assert time.process_time() - began < 0.2  # Python itself takes as much
    assert "--model.noise_scale" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["fit"], ["fit", "-c", "rmu.yaml", "--help"], ["--help"], ["configs", "--help"], ["../fit", "--help"]]
)
def test_other_words_ask_for_no_text(words: list[str]) -> None:
    assert help_text(words) is None


@pytest.mark.parametrize("change", ["lightning", "torch"])
def test_other_versions_build_their_own(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert help_text(["fit", "--help"]) is not None
    monkeypatch.setattr(help_texts, "version", lambda name: "0.0" if name == change else version(name))
    assert help_text(["fit", "--help"]) is None
