"""Folders and files that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_unlearn.errors import InputError


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written and disappears on an error.

    Raises:
        InputError: the name is taken by then; the folder stays under another.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        partial.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}); what was written is whole in {partial}") from error


def check_makable(path: Path, option: str) -> None:
    """A file or folder could be made at a path where none is yet, as far as can be seen before.

    Args:
        path: of the file or folder.
        option: that names it, for the error.

    Raises:
        InputError: it is no path, what is above it is no folder, or that folder cannot be written.
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


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in one step, in the place of an earlier one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def existing(path: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
