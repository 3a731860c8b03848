"""Results of parts of a computation, on disk, where the same command finds them after an interruption."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class PartialResults(Mapping[int, Any]):
    """What parts of a computation gave, by their number; nothing of another computation's.

    Args:
        path: of a file of JSON lines, which may be there already.
        fingerprint: of all that decides the results.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._parts = dict(self._read())

    def __getitem__(self, part: int) -> Any:
        """The result of a part."""
        return self._parts[part]

    def __iter__(self) -> Iterator[int]:
        """The parts that are done."""
        return iter(self._parts)

    def __len__(self) -> int:
        """How many parts are done."""
        return len(self._parts)

    def add(self, part: int, result: Any) -> None:
        """Keeps the result of a part, as JSON gives it back.

        The whole line is one write: after an interruption the file's last line may be cut, never one before it.
        """
        line = json.dumps({"fingerprint": self.fingerprint, "part": part, "result": result})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")
        self._parts[part] = json.loads(line)["result"]

    def discard(self) -> None:
        """Removes the file."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> Iterator[tuple[int, Any]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # cut by an interruption, where data's reader would stop
                record = json.loads(line)
                if record["fingerprint"] == self.fingerprint:
                    yield record["part"], record["result"]
