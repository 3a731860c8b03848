"""Where the models of `lit-unlearn ask` come from: the base, and what was unlearned."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_unlearn.commands.options.option_file import OptionFile
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.runs import layout

BASE = "base"


def model_sources(paths: Sequence[Path], base: str | None, *, trust_remote_code: bool) -> dict[str, ModelSource]:
    """The models by name, the base first.

    Args:
        paths: folders of runs, or of models.
        base: hub name or folder of the base; None takes what the runs began with.
        trust_remote_code: run code that comes with the models. That a run did so does not count: it may be anybody's.

    Raises:
        InputError: a folder is neither a run's nor a model's, the runs began with different models, or none is known.
    """
    begun = {path: found for path in paths if (found := _base_of(path)) is not None}
    if base is not None:
        begun = {Path(base): ModelSource(base)}
    if not begun:
        raise InputError(f"ask: {paths[0]} does not say what it began with; give --base MODEL")
    first, own = next(iter(begun.items()))
    for path, other in begun.items():
        if (other.given, other.revision) != (own.given, own.revision):
            raise InputError(f"ask: {path} began with {other.given}, {first} with {own.given}; give runs of one model")
    own = replace(own, trust_remote_code=trust_remote_code)
    unlearned = {
        name: replace(own, pretrained=str(_export(path)), revision="main")
        for name, path in zip(_names(paths), paths, strict=True)
    }
    return {BASE: own, **unlearned}


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' own names, or the whole paths where two have one, or one has the base's."""
    if len(paths) == 1:
        return ["unlearned"]
    short = [path.resolve().name for path in paths]
    return short if len({*short, BASE}) > len(short) else [str(path.resolve()) for path in paths]


def _base_of(path: Path) -> ModelSource | None:
    """The model that a run began with; None where the folder is a model's."""
    if not (path / layout.CONFIG).is_file():
        return None
    model: dict[str, Any] = OptionFile.read(str(path / layout.CONFIG)).options.get("model", {})
    if not isinstance(model.get("pretrained"), str) or "forget" not in model:
        raise InputError(
            f"ask: {path} is not a run of `lit-unlearn fit`; give one, or a model's folder and --base MODEL"
        )
    return ModelSource(model["pretrained"], revision=model.get("revision") or "main")


def _export(path: Path) -> Path:
    """The folder of the unlearned model."""
    if not (path / layout.CONFIG).is_file():
        if not path.is_dir():
            raise InputError(f"ask: there is no folder {path}; give that of a run, or of a model with --base MODEL")
        return path
    callbacks = OptionFile.read(str(path / layout.CONFIG)).options.get("trainer", {}).get("callbacks") or []
    named = [
        folder
        for one in callbacks
        if isinstance(one, dict) and str(one.get("class_path", "")).rpartition(".")[2] == "ExportPretrained"
        if (folder := (one.get("init_args") or {}).get("folder"))
    ]
    export = Path(named[0]) if named else path / layout.EXPORT
    if not export.is_dir():
        raise InputError(
            f"ask: {path} has no unlearned model in {export}; let the run finish with the callback ExportPretrained"
        )
    return export
