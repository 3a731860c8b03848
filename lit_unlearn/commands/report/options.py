"""How runs were made: options, versions, configs and commands."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_unlearn.commands.report.runs import ReportedModel
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout

_OWN = ("seed_everything", "trainer.default_root_dir", "ckpt_path")
"""Options that differ between any two runs."""


class Origin(NamedTuple):
    """How a run came to be."""

    name: str
    folders: Sequence[Path]
    """Of each seed."""
    commands: Sequence[str]
    """Which repeat it, one for each seed that has a config."""
    config: str
    """The text of the first seed's; empty where there is none."""


def origin(run: ReportedModel) -> Origin:
    """How a run came to be; one that was not launched by a command has no config."""
    configs = [folder / layout.CONFIG for folder in run.folders if (folder / layout.CONFIG).is_file()]
    # The folder that the config names is taken by the run itself.
    commands = [
        shlex.join(["lit-unlearn", "fit", "-c", str(path), "--trainer.default_root_dir", "null"]) for path in configs
    ]
    return Origin(run.name, run.folders, commands, configs[0].read_text(encoding="utf-8") if configs else "")


def config(run: ReportedModel) -> dict[str, Any]:
    """The options that the first seed was launched with; none where it was not launched by a command."""
    try:
        found: dict[str, Any] = yaml.safe_load(origin(run).config) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"report: {run.folders[0] / layout.CONFIG} is not YAML; give the complete run") from error
    if not isinstance(found, dict):
        raise InputError(f"report: {run.folders[0] / layout.CONFIG} holds no options; give the complete run")
    return found


def options(run: ReportedModel) -> dict[str, str]:
    """Hyperparameters, seeds and versions, as the first seed's results have them."""
    first = run.results[0]
    found = {name: _shown(value) for name, value in first.get("hyperparameters", {}).items() if name != "seed"}
    seeds = [str(results["seed"]) for results in run.results if "seed" in results]
    versions = [f"{name} {value}" for name, value in first.get("versions", {}).items()]
    return found | {name: ", ".join(told) for name, told in (("seed", seeds), ("versions", versions)) if told}


def split(runs: Sequence[ReportedModel]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """What differs between runs, a value for each of them, and what they share.

    Of the config, options beside the model's are named where they differ.
    """
    every = [options(run) for run in runs]
    launched = [dict(_flat(config(run))) for run in runs]
    if all(launched):
        every = [
            {name: value for name, value in beside.items() if not name.startswith("model.") and name not in _OWN} | own
            for beside, own in zip(launched, every, strict=True)
        ]
    names = dict.fromkeys(name for found in every for name in found)
    values = {name: [found.get(name, "–") for found in every] for name in names}
    differing = {name: found for name, found in values.items() if len(set(found)) > 1}
    return differing, {name: value for name, value in options(runs[0]).items() if name not in differing}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Options by their name on the command line; those of a list's classes under the class's name.

    Example:
        >>> dict(_flat({"trainer": {"max_steps": 3, "callbacks": [{"class_path": "a.B", "init_args": {"c": None}}]}}))
        {'trainer.max_steps': '3', 'trainer.callbacks.B.c': 'None'}
    """
    if isinstance(value, list) and value and all(isinstance(one, dict) and "class_path" in one for one in value):
        value = {one["class_path"].rpartition(".")[2]: one.get("init_args", {}) for one in value}
    if isinstance(value, dict) and (value or not name):
        for key, within in value.items():
            yield from _flat(within, f"{name}.{key}" if name else str(key))
    else:
        yield name, _shown(value)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
