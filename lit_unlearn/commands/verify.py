"""`lit-unlearn verify`: whether folders are as they were written."""

import sys
from pathlib import Path

from lit_unlearn.errors import InputError
from lit_unlearn.runs.checksums import wrong


def main(folders: list[str]) -> None:
    """`lit-unlearn verify FOLDER...`.

    Raises:
        InputError: no folder is given, or one has no checksums.
        SystemExit: with status 1 when a file is missing, changed or not listed.
    """
    if not folders or any(folder.startswith("-") for folder in folders):
        raise InputError("verify: takes folders alone: lit-unlearn verify RUN RUN/export")
    found = {folder: wrong(Path(folder)) for folder in folders}
    for folder, lines in found.items():
        for line in lines:
            print(f"{folder}/{line}", file=sys.stderr)
        print(f"{folder}: {f'{len(lines)} files are not as they were' if lines else 'every file is as it was written'}")
    if any(found.values()):
        raise SystemExit(1)
