"""Local files of a hub dataset, by its own names."""

from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.errors import InputError

_SUFFIXES = (".json", ".jsonl", ".parquet")


def remedy(hub: str) -> str:
    """What to do where a dataset cannot be loaded from the hub.

    Args:
        hub: name of the dataset.

    Example:
        >>> remedy("locuslab/TOFU").partition(",")[0]
        '`data.folder` takes its files'
    """
    return f"`data.folder` takes its files, which `{_download(hub, 'FOLDER')}` fetches where there is access"


def local_copy(folder: str, names: Sequence[str], *, hub: str) -> str:
    """The path of a set of rows in a folder: a file of one of the names, or parts as the hub has them.

    Args:
        folder: with the files.
        names: without suffix, relative to the folder, the best first; parts are `NAME-00000-of-00001.parquet`.
        hub: name of the dataset they are copies of, for the error.

    Raises:
        InputError: the folder holds none of them.
    """
    for name in names:
        found = [path for suffix in _SUFFIXES if (path := Path(folder) / f"{name}{suffix}").is_file()]
        if found:
            return str(found[0])
        if any(Path(folder).glob(f"{name}-*.parquet")):
            return str(Path(folder) / f"{name}-*.parquet")
    other = f", or {' or '.join(names[1:])}" if names[1:] else ""
    raise InputError(
        f"data.folder: {folder} holds no {names[0]}.json (.jsonl, .parquet, -*.parquet){other}; put that part of the "
        f"hub's {hub} there: `{_download(hub, folder)}`"
    )


def _download(hub: str, folder: str) -> str:
    return f"hf download --repo-type dataset {hub} --local-dir {folder}"
