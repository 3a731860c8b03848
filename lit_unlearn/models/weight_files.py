"""The files of a pretrained model, and copies of them in which some weights are others."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import torch
from huggingface_hub import parse_local_safetensors_file_metadata
from huggingface_hub.errors import SafetensorsParsingError
from safetensors import safe_open
from torch import Tensor
from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource

_Fetched = Callable[[str], Path | None]
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Those of weights that can be written, by their names in safetensors."""


class StoredTensor(NamedTuple):
    """Where a tensor is, and what it is."""

    file: str
    start: int
    """Its first byte in the file."""
    dtype: str
    """By its name in safetensors."""
    shape: tuple[int, ...]


class WeightFiles:
    """A model's configuration and safetensors, in one file or several, in a folder or the hub's cache.

    Args:
        pretrained: hub name or folder of the model.
        paths: of the files, by their names.
    """

    def __init__(self, pretrained: str, paths: dict[str, Path]) -> None:
        self.pretrained = pretrained
        self.paths = paths

    @classmethod
    def of(cls, source: ModelSource, *, fetch: bool = True) -> "WeightFiles":
        """Those of a model.

        Args:
            source: of the model.
            fetch: from the hub, what is not here.

        Raises:
            InputError: the model has none, or they cannot be loaded.
        """
        fetched = partial(_fetched, source.pretrained, revision=source.revision, fetch=fetch)
        paths = {CONFIG_NAME: _needed(source.pretrained, CONFIG_NAME, fetched)}
        paths |= {name: _needed(source.pretrained, name, fetched) for name in _weights(source.pretrained, fetched)}
        generation = fetched(GENERATION_CONFIG_NAME)
        return cls(source.pretrained, paths if generation is None else {**paths, GENERATION_CONFIG_NAME: generation})

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.paths.values())

    @cached_property
    def places(self) -> dict[str, StoredTensor]:
        """Where each weight is, by its name in the files."""
        files = (name for name in self.paths if name.endswith(".safetensors"))
        return dict(place for file in files for place in _places(file, self.paths[file]))

    def names_of(self, name: str, shape: tuple[int, ...], *, prefix: str) -> list[str]:
        """Names under which the files hold a model's parameter: its own, or the same with or without a prefix.

        Args:
            name: of the parameter in the model.
            shape: of the parameter.
            prefix: of the model's decoder, which some files leave out.

        Raises:
            InputError: it is stored in another shape, or not as floating-point numbers.
        """
        names = (name, name.removeprefix(f"{prefix}."), f"{prefix}.{name}")
        found = [own for own in dict.fromkeys(names) if own in self.places]
        for own in found:
            place = self.places[own]
            if place.shape != shape or place.dtype not in _DTYPES:
                raise InputError(
                    f"model.pretrained: {own} is stored as {place.dtype} of shape {list(place.shape)}, where the model "
                    f"has {list(shape)}; take a checkpoint with plain floating-point weights"
                )
        return found

    def read(self, name: str, rows: slice = slice(None)) -> Tensor:
        """A weight as it is stored, or some of its rows."""
        with safe_open(self.paths[self.places[name].file], framework="pt") as file:
            weight: Tensor = file.get_slice(name)[rows]
        return weight

    def copy_to(self, folder: Path) -> None:
        """Copies all files, and the code that the configuration names where it lies beside it."""
        config = self.paths[CONFIG_NAME]
        code = config.parent.glob("*.py") if "auto_map" in json.loads(config.read_text(encoding="utf-8")) else ()
        for name, path in {**self.paths, **{path.name: path for path in code}}.items():
            shutil.copyfile(path, folder / name)

    def overwrite(self, folder: Path, name: str, weight: Tensor) -> None:
        """Writes a weight into the copy of its file, in that file's dtype."""
        place = self.places[name]
        values = weight.detach().to("cpu", _DTYPES[place.dtype]).contiguous().flatten()
        with (folder / place.file).open("r+b") as file:
            file.seek(place.start)
            file.write(values.view(torch.uint8).numpy().data)


def _weights(pretrained: str, fetched: _Fetched) -> list[str]:
    """Names of the files with the weights, and of their index where there is one."""
    if fetched(SAFE_WEIGHTS_NAME) is not None:
        return [SAFE_WEIGHTS_NAME]
    index = fetched(SAFE_WEIGHTS_INDEX_NAME)
    if index is None:
        raise InputError(
            f"model.pretrained: {pretrained!r} has no safetensors, so no copy with other weights can be made; save it "
            "once with transformers' save_pretrained, and name that folder"
        )
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"model.pretrained: {SAFE_WEIGHTS_INDEX_NAME} of {pretrained!r} is not an index of weights ({error!r}); "
            "fetch the model again"
        ) from error
    outside = [shard for shard in shards if Path(shard).name != shard]
    if outside:
        raise InputError(
            f"model.pretrained: the index of {pretrained!r} names {outside[0]!r}, which is not a file beside it"
        )
    return [SAFE_WEIGHTS_INDEX_NAME, *shards]


def _needed(pretrained: str, name: str, fetched: _Fetched) -> Path:
    """A file that every model must have."""
    path = fetched(name)
    if path is None:
        raise InputError(
            f"model.pretrained: {name} of {pretrained!r} is not here and cannot be fetched; give a complete folder, or "
            "the name of a hub model that this machine can reach"
        )
    return path


def _fetched(pretrained: str, name: str, *, revision: str, fetch: bool) -> Path | None:
    """A file in the folder or the hub's cache; None where there is no such file."""
    options = {"revision": revision, "local_files_only": not fetch, "_raise_exceptions_for_missing_entries": False}
    try:
        path = cached_file(pretrained, name, **options)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"model.pretrained: {name} of {pretrained!r} cannot be loaded ({reason}); give a folder, or the name of a "
            "hub model that this machine can reach"
        ) from error
    return None if path is None else Path(path)


def _places(name: str, path: Path) -> Iterator[tuple[str, StoredTensor]]:
    """What a safetensors file holds.

    Its header says where tensors are, counted from its own end, which follows from the length in the first 8 bytes.
    """
    try:
        header = parse_local_safetensors_file_metadata(path)
    except SafetensorsParsingError as error:
        raise InputError(
            f"model.pretrained: {path} is not a safetensors file, or was cut off; fetch the model again"
        ) from error
    with path.open("rb") as file:
        end = 8 + int.from_bytes(file.read(8), "little")
    for tensor, about in header.tensors.items():
        yield tensor, StoredTensor(name, end + about.data_offsets[0], about.dtype, tuple(about.shape))
