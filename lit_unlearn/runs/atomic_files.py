"""Folders and files that appear whole or not at all, and on disk before they appear.

Lightning's `_atomic_save` holds a whole file in memory, knows no folders, and does not wait for the disk.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lit_unlearn.errors import InputError, RunFailed

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_OF_FOLDERS = (errno.EINVAL, errno.ENOTSUP)
"""What some network file systems say of a folder that is to be synchronised."""


@contextmanager
def appearing_whole(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written and on disk, and disappears on an error.

    Args:
        path: of the folder.
        replace: whether it may take the place of an earlier one.

    Raises:
        RunFailed: the disk is full; or the name is taken by then, and the folder stays under another.
    """
    partial = _partial(path)
    with _vanishing(partial), full_disk(path):
        partial.mkdir(parents=True)
        yield partial
        synchronise(partial)
    try:
        publish(partial, path) if replace else partial.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}); {partial} is complete") from error
    _synchronise_one(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a file to write, which replaces an earlier one when all is written and on disk.

    Raises:
        RunFailed: the disk is full; the earlier one is intact.
    """
    partial = _partial(path)
    with _vanishing(partial), full_disk(path):
        yield partial
        synchronise(partial)
        publish(partial, path)


def check_makable(path: Path, option: str) -> None:
    """A file or folder could be made at a path where none is yet, as far as can be seen before.

    Args:
        path: of the file or folder.
        option: that names it, for the error.

    Raises:
        InputError: it is not a path, what is above it is not a folder, or that folder cannot be written.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # too long, below a file, without permission, or with a null byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{option}: {str(path)[:100]!r} cannot be made ({reason}); give another path") from error
    if not os.access(existing(path), os.W_OK):
        raise InputError(f"{option}: {path} cannot be made, as {existing(path)} cannot be written; give another path")


def check_folder(path: Path, option: str) -> None:
    """A folder is there, or could be made.

    Args:
        path: of the folder.
        option: that names it, for the error.

    Raises:
        InputError: neither.
    """
    check_makable(path, option)
    if path.exists() and not path.is_dir():
        raise InputError(f"{option}: {path} is a file; give a folder")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in one step, and replaces an earlier one.

    Raises:
        RunFailed: the disk is full; the earlier one is intact.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def publish(partial: Path, path: Path) -> None:
    """Gives a file or a folder its name, and replaces an earlier one.

    A folder cannot take another's place in one step; `recover` repairs what an interruption between the two leaves.
    """
    earlier = replaced(path)
    if path.is_dir():
        remove(earlier)
        path.rename(earlier)
    os.replace(partial, path)
    remove(earlier)
    _synchronise_one(path.parent)


def recover(path: Path) -> None:
    """Gives a folder its name back where an interruption has come between the two steps of `publish`."""
    if not path.exists() and replaced(path).exists():
        replaced(path).rename(path)


def synchronise(path: Path) -> None:
    """Returns when a file, or a folder with all in it, is on disk."""
    for found in [*path.rglob("*"), path] if path.is_dir() else [path]:
        _synchronise_one(found)


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Removes what interrupted writing has left anywhere in a folder; nobody may be writing in it."""
    for found in list(folder.rglob(".*.partial")):
        remove(found)


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Within this context a full disk is an error of one line, which names what could not be written.

    Raises:
        RunFailed: the disk is full, or a quota or a limit on the size of files is reached.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        name = path.name.removeprefix(".").removesuffix(".partial")  # a partial one is named after what it becomes
        raise RunFailed(
            f"{path.with_name(name)} cannot be written ({error.strerror}); what was there before is intact; make "
            "room, or write to another disk"
        ) from error


def existing(path: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _partial(path: Path) -> Path:
    """A name for what is being written by this process, and nothing left under it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    remove(partial)
    return partial


def replaced(path: Path) -> Path:
    """Where `publish` keeps a folder while another takes its name."""
    return path.with_name(f".{path.name}.replaced")


@contextmanager
def _vanishing(partial: Path) -> Iterator[None]:
    """On an error what was written is removed, whatever else the disk refuses."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove(partial)
        raise


def _synchronise_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NOT_OF_FOLDERS):
            raise
    finally:
        os.close(descriptor)
