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
