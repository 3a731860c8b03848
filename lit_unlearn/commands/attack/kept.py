"""What each point of an attack gave, in a file of its own, after the last of which an interrupted card resumes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from lit_unlearn.commands.attack.contract import Outcome, Settings
from lit_unlearn.errors import InputError
from lit_unlearn.running.fingerprints import digest
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole


class Unit(NamedTuple):
    """What is run, kept and resumed as one: a point of an attack's grid on one model under one seed."""

    model: str
    attack: str
    point: int
    settings: Settings
    seed: int
    decides: tuple[str, ...]
    """All else that decides the outcomes: options, weights, versions."""

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides the outcomes."""
        about = [self.attack, json.dumps(dict(self.settings), sort_keys=True), str(self.seed), *self.decides]
        return digest(part.encode() for part in about)


class Kept(NamedTuple):
    """The outcomes of a unit."""

    outcomes: list[Outcome]
    seconds: float


class KeptOutcomes:
    """A file for each unit that is done, in the folder of a card.

    Args:
        folder: of the card.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / layout.ATTACK_OUTCOMES

    def path(self, unit: Unit) -> Path:
        """Where a unit's outcomes are."""
        return self.folder / unit.model / unit.attack / f"point-{unit.point}-seed-{unit.seed}.json"

    def get(self, unit: Unit) -> Kept | None:
        """The outcomes of a unit; None where it is not done.

        Raises:
            InputError: what is there is of other options or another model, or cannot be read.
        """
        found = self._read(unit)
        if found is None:
            return None
        if found[1] != unit.fingerprint:
            raise InputError(
                f"{self.path(unit)} is of other options, another model or another version; give another folder after "
                "--out, or remove it"
            )
        return found[0]

    def own(self, unit: Unit) -> Kept | None:
        """As `get`, but None where what is there is of other options or another model.

        Raises:
            InputError: what is there cannot be read.
        """
        found = self._read(unit)
        return found[0] if found is not None and found[1] == unit.fingerprint else None

    def seeds(self, model: str, attack: str) -> list[int]:
        """The seeds of which there are outcomes of an attack, of whatever options."""
        names = [path.stem for path in (self.folder / model / attack).glob("point-*-seed-*.json")]
        return sorted({int(name.rpartition("-")[2]) for name in names})

    def _read(self, unit: Unit) -> tuple[Kept, str] | None:
        """The outcomes of a unit's file, and the fingerprint of the unit that it is of."""
        path = self.path(unit)
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            outcomes = [Outcome.from_json(one) for one in found["outcomes"]]
            return Kept(outcomes, found["seconds"]), str(found["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read ({error!r}); remove it, and the attack is run again") from error

    def add(self, unit: Unit, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Keeps the outcomes of a unit: the file is there whole or not at all."""
        path = self.path(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "fingerprint": unit.fingerprint,
            "settings": dict(unit.settings),
            "seed": unit.seed,
            "seconds": round(seconds, 2),
            "outcomes": [one.as_json() for one in outcomes],
        }
        write_whole(path, json.dumps(content, indent=1))

    def claim(self, unit: Unit) -> FileLock | None:
        """The lock of a unit, to be released when it is done; None where another worker has it.

        A process that ends, however it does, releases its locks.
        """
        path = self.path(unit).with_suffix(layout.LOCK)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.absolute(), fallback_to_soft=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

    def release(self, lock: FileLock) -> None:
        """Removes a lock's file and releases it; who waits for the file that is gone finds the unit done."""
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
