"""What a model answered, on disk, where other runs that ask the same model the same questions find it."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.running.fingerprints import arithmetic, digest, model_fingerprint, raw, tensors_of
from lit_unlearn.runs.atomic_files import publish, synchronise

SUFFIX = ".safetensors"
_CODE = ("lit-unlearn", "transformers")  # torch's version is part of the arithmetic


class StoredAnswers:
    """The answers of one model, as it is now, in a folder: a file for each batch of questions.

    A file's name is a digest of all that decides the answers: weights, configuration, attention, precision, versions,
    device, and every tensor of the batch. So what another model's run left, or an older one's, is not taken for this
    one's. A file is on disk before it has its name.

    Args:
        folder: made where it does not exist; it may be removed at any time.
        model: all of it, on the device where it answers; of a sharded one, what this process holds decides.
        precision: the Trainer's.
        all_have: whether all processes have something, of which this one has it or not; where several answer together,
            they must run the model together.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(
        self, folder: str, model: PreTrainedModel, precision: str, *, all_have: Callable[[bool], bool] = bool
    ) -> None:
        self.folder = Path(folder)
        self._all_have = all_have
        self._keeps = True
        own = model_fingerprint(model.config, tensors_of(model), precision)
        about = [own, arithmetic(model.device), *map(version, _CODE)]
        self._decides = [*map(str.encode, about)]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"model.answer_store: {folder} cannot be made ({error.strerror})") from error

    def answers(self, batch: Mapping[str, Any], ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """The answers to a batch: those that are kept, else those of the model, which then are.

        Args:
            batch: of questions; tensors by name, also within dictionaries.
            ask: runs the model; tensors by name.

        Raises:
            InputError: a file in the folder is damaged.
        """
        path = self._path(batch)
        found = _read(path, next(_tensors(batch)).device)
        if self._all_have(found is not None):
            assert found is not None
            return found
        answers = ask()
        self._keep(path, answers)
        return answers

    def has(self, batch: Mapping[str, Any]) -> bool:
        """Whether the answers to a batch are kept."""
        return self._path(batch).is_file()

    def _path(self, batch: Mapping[str, Any]) -> Path:
        return self.folder / f"{digest([*self._decides, *_parts(batch)])}{SUFFIX}"

    def _keep(self, path: Path, answers: Mapping[str, Any]) -> None:
        """Writes a file, complete or not at all."""
        if not self._keeps:
            return
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(save({name: value.cpu().contiguous() for name, value in answers.items()}))
            synchronise(partial)
            publish(partial, path)
        except OSError as error:
            self._keeps = False
            warnings.warn(f"{path} cannot be written ({error.strerror}); further answers are not kept", stacklevel=1)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _read(path: Path, device: torch.device) -> dict[str, Tensor] | None:
    try:
        with suppress(FileNotFoundError), safe_open(path, framework="pt", device=str(device)) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    except SafetensorError as error:
        raise InputError(f"model.answer_store: {path} is damaged ({error}); remove it") from error
    return None


def _parts(batch: Mapping[str, Any]) -> Iterator[Any]:
    """The names, shapes, types and bytes of all tensors."""
    for name, value in sorted(batch.items()):
        yield name.encode()
        if isinstance(value, Mapping):
            yield from _parts(value)
        else:
            yield f"{value.dtype} {list(value.shape)}".encode()
            yield raw(value)


def _tensors(batch: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in batch.values():
        yield from _tensors(value) if isinstance(value, Mapping) else [value]
