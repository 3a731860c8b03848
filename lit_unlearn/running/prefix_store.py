"""Hidden states that training does not change, on disk, where other runs with the same model and rows find them."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.layers import decoder_of
from lit_unlearn.running.fingerprints import arithmetic, digest, model_fingerprint, raw, tensors_of
from lit_unlearn.running.partial_forward import SharedPrefix


@dataclass(frozen=True, kw_only=True)
class PrefixStore:
    """Where hidden states below the first trained layer, and those of the frozen model, are kept for other runs.

    A run that meets a batch of the same tokens with the same model does not compute them again, and its losses are the
    same bit for bit. `lit-unlearn sweep` shares one among its fits.

    Raises:
        InputError: an option cannot be.
    """

    folder: str
    """Folder; made where it does not exist. It may be removed at any time."""
    max_gib: float = 20.0
    """How large the folder may become; what does not fit is computed in every run."""

    def __post_init__(self) -> None:
        if self.max_gib <= 0:
            raise InputError(f"model.prefix_store.max_gib: {self.max_gib} holds nothing; give more than 0")


class StoredStates:
    """The states of one model in a store.

    A file's name is a digest of all that decides its values: weights, configuration, arithmetic, tokens and the place
    in the model. So what another model's run left, or an older one's, is not taken for this one's.

    Args:
        store: the option.
        fingerprint: of the model, from `states_fingerprint`.
        agree: takes whether this process found something, returns whether all did; processes that share a model's
            layers must run the same of them.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, store: PrefixStore, fingerprint: str, agree: Callable[[bool], bool] = bool) -> None:
        self.folder = Path(store.folder)
        self._room = store.max_gib * 2**30
        self._fingerprint = fingerprint
        self._agree = agree
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"model.prefix_store.folder: {store.folder} cannot be made ({error.strerror})") from error

    def prefix(self, batch: Batch, start: int) -> SharedPrefix | None:
        """What an earlier run left of this batch for one that starts at a layer; None if there is nothing."""
        found = self._read(self._path(batch, f"into {start}"), batch["input_ids"].device)
        if found is None:
            return None
        hidden, more = found
        return SharedPrefix(hidden, hidden if more is None else (hidden, *[None] * more))

    def keep_prefix(self, batch: Batch, start: int, prefix: SharedPrefix) -> None:
        """Keeps what entered a layer.

        Raises:
            InputError: the model's layers return more than hidden states, or leave keys for others, which would be
                lost.
        """
        if prefix.keys:
            raise InputError("model.prefix_store: this model's layers leave keys for layers above; leave it out")
        more = None if isinstance(prefix.example, Tensor) else prefix.example[1:]
        if more is not None and any(part is not None for part in more):
            raise InputError("model.prefix_store: this model's layers return more than hidden states; leave it out")
        self._write(self._path(batch, f"into {start}"), prefix.hidden, None if more is None else len(more))

    def frozen(self, batch: Batch, layer: int, compute: Callable[[], Tensor]) -> Tensor:
        """The frozen model's states `[batch, seq, dim]` after a layer, without noise; computed where there are none."""
        path = self._path(batch, f"out of {layer}")
        found = self._read(path, batch["input_ids"].device)
        if found is not None:
            return found[0]
        hidden = compute()
        self._write(path, hidden, None)
        return hidden

    def _path(self, batch: Batch, place: str) -> Path:
        # The rows are read on the host, which waits for the device: the price of a store alone.
        rows = [batch["input_ids"].cpu(), batch["attention_mask"].cpu()]
        decides = [self._fingerprint, arithmetic(batch["input_ids"].device), place, str(list(rows[0].shape))]
        return self.folder / f"{digest([*map(str.encode, decides), *map(raw, rows)])}.safetensors"

    def _read(self, path: Path, device: torch.device) -> tuple[Tensor, int | None] | None:
        """The states of a file, and how many parts a layer's output has beside them, if it is a tuple."""
        found = None
        try:
            with suppress(FileNotFoundError), safe_open(path, framework="pt", device=str(device)) as file:
                found = file.get_tensor("hidden"), json.loads(file.metadata()["more"])
        except SafetensorError as error:
            raise InputError(f"model.prefix_store.folder: {path} is damaged ({error}); remove it") from error
        return found if self._agree(found is not None) else None

    def _write(self, path: Path, hidden: Tensor, more: int | None) -> None:
        """Writes a file, whole or not at all, where there is room."""
        if path.exists() or self._room == 0:
            return
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            if hidden.nbytes + sum(_sizes(self.folder)) > self._room:
                self._full(f"{self.folder} holds as much as model.prefix_store.max_gib allows")
                return
            partial.write_bytes(save({"hidden": hidden.cpu().contiguous()}, {"more": json.dumps(more)}))
            os.replace(partial, path)
        except OSError as error:
            self._full(f"{path} cannot be written ({error.strerror})")
        finally:
            partial.unlink(missing_ok=True)

    def _full(self, reason: str) -> None:
        self._room = 0
        warnings.warn(f"{reason}; states of further batches are not kept, only computed", stacklevel=1)


def states_fingerprint(model: PreTrainedModel, layers: nn.ModuleList, layer: int, precision: str) -> str:
    """A digest of all of a model that decides its states up to a layer.

    Args:
        model: before training; of a sharded one, what this process holds.
        layers: its decoder layers.
        layer: the last layer that is read.
        precision: the Trainer's.
    """
    above = {id(tensor) for module in layers[layer + 1 :] for tensor in tensors_of(module)}
    tensors = [tensor for tensor in tensors_of(decoder_of(model, layers)) if id(tensor) not in above]
    return model_fingerprint(model.config, tensors, precision)


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes of the files in a folder, which may go at any time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                yield entry.stat().st_size
