"""Checksums of a folder's files, in a file that `sha256sum -c SHA256SUMS` reads too."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole


def write_checksums(folder: Path) -> None:
    """Writes the checksums of all files in a folder; those of a folder in it that has its own are taken from there."""
    (folder / layout.CHECKSUMS).unlink(missing_ok=True)
    known = {
        path.parent / name: digest for path in folder.rglob(layout.CHECKSUMS) for name, digest in _listed(path).items()
    }
    sums = {found: known.get(path) or _digest(path) for found, path in _files(folder)}
    write_whole(folder / layout.CHECKSUMS, _text(sums))


def update(folder: Path, path: Path) -> None:
    """Replaces the checksum of one file of a folder, and of checksums that changed with it; all others stay as written.

    Args:
        folder: of the checksums; without any, nothing is written.
        path: of the file, in it or in a folder of it.
    """
    sums = folder / layout.CHECKSUMS
    if not sums.is_file():
        return
    own = path.parent / layout.CHECKSUMS
    changed = [one for one in (path, own) if one.is_file() and one != sums]
    listed = _listed(sums) | {one.relative_to(folder).as_posix(): _digest(one) for one in changed}
    write_whole(sums, _text(listed))


def wrong(folder: Path) -> list[str]:
    """What is not as the checksums say, a line for each file: `missing`, `changed` or `not listed`.

    A folder in it that came later and has checksums of its own, such as an analysis, is compared with those.

    Raises:
        InputError: the folder has no checksums, or none that can be read.
    """
    path = folder / layout.CHECKSUMS
    if not path.is_file():
        without = f"holds no {layout.CHECKSUMS}: an export or a finished run does"
        reason = without if folder.is_dir() else "is not a folder"
        raise InputError(f"verify: {folder} {reason}")
    listed, there = _listed(path), dict(_files(folder))
    found = [f"{name}: missing" for name in listed.keys() - there.keys()]
    for later in [name for name in there if name.endswith(f"/{layout.CHECKSUMS}") and name not in listed]:
        home = later.removesuffix(layout.CHECKSUMS)
        found += [f"{home}{line}" for line in wrong(folder / home)]
        there = {name: path for name, path in there.items() if not name.startswith(home) or name in listed}
    found += [f"{name}: not listed" for name in there.keys() - listed.keys()]
    both = listed.keys() & there.keys()
    return sorted([*found, *(f"{name}: changed" for name in both if _digest(there[name]) != listed[name])])


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files but the folder's checksums and locks of runs, by name; not what is being written."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        passing = path.name == layout.LOCK or any(part.endswith(".partial") for part in name.split("/"))
        if path.is_file() and name != layout.CHECKSUMS and not passing:
            yield name, path


def _text(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def _listed(path: Path) -> dict[str, str]:
    """The checksums of a file, by name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("  ", maxsplit=1) for line in lines]
    if not all(len(pair) == 2 and len(pair[0]) == 64 for pair in pairs):
        raise InputError(f"verify: {path} is not a list of checksums; make the folder again")
    return {name: digest for digest, name in pairs}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
