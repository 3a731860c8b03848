"""The models that a card is of: finished runs, folders and hub names."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.runs import layout


class AttackedModel(NamedTuple):
    """A model, and the one before unlearning."""

    name: str
    """As the card and its folder call it."""
    source: ModelSource
    base: ModelSource | None
    run: Path | None
    """The folder of its run, where it has one."""
    group: str
    """The name that runs of several seeds share; else its own."""


def find(paths: Sequence[str], *, base: str | None) -> list[AttackedModel]:
    """The models that are given.

    Args:
        paths: the folder of a finished run, whose export is attacked; a folder of runs of several seeds, `seed-0` and
            so on, as `lit-unlearn sweep` leaves; a model's folder; `demo`; or a hub name.
        base: the model before unlearning, which wins over what a run says.

    Raises:
        InputError: a run has no export, or two models have one name.
    """
    found = [one for path in paths for one in _each(path, base)]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"attack: two models are called {name!r}; give each once, or rename a folder")
    return found


def digest(source: ModelSource | None) -> str:
    """What tells a model from another: of a folder its weights and configuration, of a hub model name and revision.

    Of an adapter its own and those of the model that it adapts.
    """
    if source is None:
        return ""
    folder = Path(source.adapter or source.pretrained)
    if not folder.is_dir():
        return f"{source.pretrained}@{source.revision}"
    adapted = None if source.adapter is None else ModelSource(source.pretrained, revision=source.revision)
    whole = hashlib.sha256(digest(adapted).encode())
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*config.json"), *folder.glob("tokenizer*.json")]):
        with path.open("rb") as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _each(path: str, base: str | None) -> Iterator[AttackedModel]:
    seeds = sorted(Path(path).glob(f"seed-*/{layout.CONFIG}"))
    if not seeds:
        yield _one(path, base)
    group = Path(path).resolve().name
    for config in seeds:
        one = _one(str(config.parent), base)
        yield one._replace(name=f"{group}/{one.name}", group=group)


def _one(path: str, base: str | None) -> AttackedModel:
    folder = Path(path)
    given = None if base is None else ModelSource(base)
    config = folder / layout.CONFIG
    if not config.is_file():
        source = ModelSource(path)
        return AttackedModel(_name(source), source, given, None, _name(source))
    export = folder / layout.EXPORT
    if not export.is_dir():
        raise InputError(
            f"{path}: there is no unlearned model in {export}; let the run finish with the callback ExportPretrained, "
            "or give the folder of the model itself"
        )
    name = folder.resolve().name
    return AttackedModel(name, ModelSource(str(export)), given or _before(config), folder, name)


def _name(source: ModelSource) -> str:
    """A folder's name, of a run's export the run's; of a hub model its last part."""
    path = Path(source.given)
    if path.exists():
        resolved = path.resolve()
        return resolved.parent.name if resolved.name == layout.EXPORT else resolved.name
    return source.given.rpartition("/")[2]


def _before(config: Path) -> ModelSource | None:
    """The model that a run began with."""
    try:
        model = yaml.safe_load(config.read_text(encoding="utf-8")).get("model") or {}
    except (yaml.YAMLError, AttributeError) as error:
        raise InputError(f"{config}: not the options of a run ({error}); give the folder of a finished run") from error
    name = model.get("pretrained")
    return ModelSource(str(name), revision=str(model.get("revision") or "main")) if name else None
