"""Checkpoint files that appear whole or not at all, and are read only if they are whole."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import replacing

_INSTEAD = f"give one such as RUN/{layout.LAST_CHECKPOINT}, or leave the option out to begin again"


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits until it is on disk, then renames it.

    Lightning's own writes it in memory first, then in the system's folder of temporary files, which may be small or
    on another disk, and never waits for the disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes one; a remote path as Lightning does.

        Raises:
            InputError: the disk is full; an earlier checkpoint of this name is intact.
        """
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as partial:
            _write(checkpoint, partial)


def check_whole(path: str, *, sharded: bool = False) -> None:
    """Checks that a checkpoint on this machine is complete; one in a folder is ModelParallelStrategy's.

    Raises:
        InputError: it is missing, cut off or damaged.
    """
    file = Path(path)
    if sharded and (file / ".metadata").is_file():
        return
    if not file.exists():
        raise InputError(f"ckpt_path: {path} does not exist; {_INSTEAD}")
    if not zipfile.is_zipfile(file):
        raise InputError(f"ckpt_path: {path} is not a checkpoint, or was cut off; {_INSTEAD}")
    with zipfile.ZipFile(file) as archive:
        try:
            damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            damaged = str(error)
    if damaged is not None:
        raise InputError(f"ckpt_path: {path} is damaged, at {damaged}; {_INSTEAD}")


def is_file_of_weights(path: str) -> bool:
    """Whether a checkpoint is one file, which can be looked into; ModelParallelStrategy's is a folder."""
    return zipfile.is_zipfile(path)


def check_resumes(path: str) -> None:
    """A checkpoint file has all that a run needs to resume.

    Raises:
        InputError: it holds only weights, or cannot be read.
    """
    if not resumes(path):
        raise InputError(
            f"ckpt_path: {path} holds only weights, of save_weights_only, from which no run can resume; give one "
            f"such as RUN/{layout.LAST_CHECKPOINT}"
        )


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch hides that the disk is full behind an error of its own
            raise error.__context__ from None
        raise


def read_identity(path: str) -> Any:
    """What a checkpoint file says of its run; tensors and plain values are read, nothing in it is run.

    Returns:
        None where it is not one of ours.

    Raises:
        InputError: it cannot be read, or holds other objects.
    """
    checkpoint = _read(path)
    held = checkpoint.get("lit_unlearn") if isinstance(checkpoint, dict) else None
    return held if isinstance(held, dict) and held.keys() >= {"shapes", "seeds"} else None


def resumes(path: str) -> bool:
    """Whether a checkpoint file has all that a run needs to resume, the optimizer's state too.

    Raises:
        InputError: as `read_identity`.
    """
    checkpoint = _read(path)
    return isinstance(checkpoint, dict) and "optimizer_states" in checkpoint


def _read(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
        raise InputError(
            f"ckpt_path: {path} is not whole, or holds more than tensors and plain values; {_INSTEAD}"
        ) from error
