"""Pages of the site that are made of the package itself: its rooms, configs, commands and files."""

import ast
import io
import os
import re
import unicodedata
from contextlib import redirect_stdout, suppress
from unittest.mock import patch

from docs.site.links import ROOT

PACKAGE = ROOT / "lit_unlearn"
ROOMS = {
    "losses": "Forget and retain losses",
    "modules": "The LightningModules",
    "datamodules": "DataModules",
    "callbacks": "Callbacks",
    "data": "Streams of text",
    "questions": "Questions, perturbations, scores",
    "answers": "Metrics of free answers",
    "models": "Loading models",
    "running": "Running models",
    "repairs": "Repairs of weights",
    "distributed": "Several processes",
    "harness": "The lm-eval harness",
    "runs": "Folders of runs",
    "demo": "The demo world",
}
"""The rooms that are used from Python, those that a user touches first; `commands` is used from the shell."""


def pages() -> dict[str, str]:
    """Markdown by path in the site."""
    return {
        **{f"reference/api/{room}.md": room_page(room) for room in ROOMS},
        **{f"reference/commands/{name}.md": command_page(name) for name in commands()},
        **{f"reference/configs/{name}.md": config_page(name) for name in config_names()},
        "reference/configs.md": configs_page(),
        "reference/run_folder.md": run_folder_page(),
    }


def navigation() -> list[dict[str, object]]:
    """The entries of the reference that `mkdocs.yml` leaves out."""
    rooms: list[dict[str, str]] = [{f"lit_unlearn.{room}": f"reference/api/{room}.md"} for room in ROOMS]
    return [
        {"Python": rooms},
        {"Commands": [{name: f"reference/commands/{name}.md"} for name in commands()]},
    ]


def room_page(room: str) -> str:
    """The public parts of each file of a room, first of those whose names the room or the package makes public."""
    own = (PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    used = {*re.findall(rf"^from lit_unlearn\.{room}\.(\w+) import", own, re.MULTILINE)}
    used |= {*re.findall(rf"^from \.{room}\.(\w+) import", stub, re.MULTILINE)}
    files = sorted(path.stem for path in (PACKAGE / room).glob("*.py") if path.name != "__init__.py")
    described = ast.get_docstring(ast.parse(own)) or ""
    blocks = [f"::: lit_unlearn.{room}.{name}" for name in sorted(files, key=lambda name: name not in used)]
    return "\n\n".join([f"# {ROOMS[room]}", f"`lit_unlearn.{room}`: {described}", *blocks]) + "\n"


def commands() -> list[str]:
    """The commands, in the order of `lit-unlearn --help`."""
    return re.findall(r"^  ([a-z][\w-]*)  ", _usage().partition("\noptions:")[0], re.MULTILINE)


def command_page(name: str) -> str:
    """What `lit-unlearn NAME --help` shows, and the help of the commands within it."""
    from lit_unlearn.commands import help_texts

    within = sorted(path.stem.removeprefix(f"{name}-") for path in help_texts.FOLDER.glob(f"{name}-*.txt"))
    return "\n".join([_help(f"# lit-unlearn {name}", [name]), *(_help(f"## {one}", [name, one]) for one in within)])


def _help(heading: str, command: list[str]) -> str:
    """The packaged text; a command without one builds its help, which takes seconds."""
    from lit_unlearn import cli

    shown = io.StringIO()
    with patch.dict(os.environ, COLUMNS="80"), redirect_stdout(shown), suppress(SystemExit):
        cli.main([*command, "--help"])
    text = "".join(sign for sign in shown.getvalue() if unicodedata.category(sign) not in ("Cc", "Cf") or sign == "\n")
    return f"{heading}\n\n```text\n{text.rstrip()}\n```\n"


def _usage() -> str:
    from lit_unlearn.cli import USAGE

    return USAGE


def config_names() -> list[str]:
    """Shipped configs and scripts."""
    from lit_unlearn.commands.options import config_files

    return list(config_files.titles())


def configs_page() -> str:
    """All of them, each with its first line."""
    from lit_unlearn.commands.options import config_files

    rows = [f"| [{name}](configs/{name}.md) | {title} |" for name, title in config_files.titles().items()]
    text = (
        "Each is found by its name in any directory: `lit-unlearn fit -c rmu.yaml`; `lit-unlearn configs NAME` prints "
        "it."
    )
    return "\n".join(["# Configs", "", text, "", "| name | what it is |", "| --- | --- |", *rows, ""])


def config_page(name: str) -> str:
    """Its text."""
    from lit_unlearn.commands.options import config_files

    language = "yaml" if name.endswith(".yaml") else "sh"
    return f"# {name}\n\n```{language}\n{config_files.text(name).rstrip()}\n```\n"


def run_folder_page() -> str:
    """What lies in the folders that commands write, as `lit_unlearn/runs/layout.py` names it."""
    rows = [f"| `{name}` | {text} |" for name, text in _names_with_texts()]
    links = (
        "[What results.json holds](../questions.md#what-resultsjson-holds) has the fields of `results.json`, and "
        "[Reliability](../reliability.md) what survives an interruption. `lit-unlearn verify FOLDER` compares a folder "
        "with its checksums."
    )
    head = ["# A run's folder", "", links, "", "| file or folder | what it is |", "| --- | --- |"]
    return "\n".join([*head, *rows, ""])


def _names_with_texts() -> list[tuple[str, str]]:
    """Each constant's value and the string below it; of several in a row the last has it."""
    body = ast.parse((PACKAGE / "runs" / "layout.py").read_text(encoding="utf-8")).body[1:]
    found: list[tuple[str, str]] = []
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found.append((str(node.value.value), ""))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[-1] = (found[-1][0], " ".join(str(node.value.value).split()))
    return found
