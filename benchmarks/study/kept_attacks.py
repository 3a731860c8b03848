"""What the repository keeps of the study of attacks: of each model a file with what its attacks measured."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.study.attack_settings import METHOD, ROWS, UNEVALUATED, AttackedRow, made_by
from benchmarks.study.kept import check_made_with, made_with
from lit_unlearn.commands.attack.contract import Outcome
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.options.config_files import located
from lit_unlearn.commands.options.option_file import OptionFile
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import write_whole
from lit_unlearn.runs.results_file import read_results

_FILE = f"{layout.ATTACK_OUTCOMES}.json"
_DIGITS = 6
"""Of each number, which is of at most 192 questions or 80 rows."""


class KeptAttacks:
    """The kept outcomes of a study's attacks, a file for each row and seed.

    Args:
        folder: of the study's kept outcomes.
        runs: folder where its fits write.
        configs: of the attacks; of an option the last counts.
        draw: of the questions.
    """

    def __init__(self, folder: Path, runs: Path, configs: Sequence[str], draw: int) -> None:
        self.folder = folder
        self.runs = runs
        self._asked = _asked(configs, draw)

    def missing(self, rows: Iterable[AttackedRow], seed: int) -> list[AttackedRow]:
        """The rows whose outcomes under a seed are not kept.

        Raises:
            InputError: what is kept of one was made with other options, configs or attacks, or cannot be read.
        """
        found = []
        for row in rows:
            path = self._path(row.folder, seed)
            if path.is_file():
                check_made_with(path, self._made_with(row, seed))
            else:
                found.append(row)
        return found

    def keep(self, found: Iterable[tuple[Unit, Kept]], rows: Iterable[AttackedRow], seed: int) -> None:
        """Writes what the attacks of a seed gave, of the rows that are wanted."""
        own: dict[str, list[dict[str, Any]]] = {}
        for unit, kept in found:
            own.setdefault(unit.model.partition("/")[0], []).append(_unit_as_json(unit, kept))
        for row in rows:
            path = self._path(row.folder, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            units = own[row.folder]
            content = {"made_with": self._made_with(row, seed), "units": units}
            write_whole(path, json.dumps(content, separators=(",", ":")) + "\n")

    def read(self) -> list[tuple[Unit, Kept]]:
        """All that is kept of rows of which there are the seeds that the method has.

        Raises:
            InputError: a file cannot be read, or there is none of the method.
        """
        seeds = {row.folder: self._seeds(row.folder) for row in ROWS}
        if not seeds[METHOD]:
            raise InputError(f"{self.folder} has no outcomes of {METHOD}, with which rows are compared; run the study")
        for name, own in seeds.items():
            if own not in (seeds[METHOD], []):
                print(f"{self.folder / name} is in no table: it has the seeds {own}, {METHOD} has {seeds[METHOD]}")
        shown = [name for name, own in seeds.items() if own == seeds[METHOD]]
        return [pair for seed in seeds[METHOD] for name in shown for pair in _units(self._path(name, seed))]

    def _seeds(self, row: str) -> list[int]:
        return sorted(int(path.parent.name.rpartition("-")[2]) for path in (self.folder / row).glob(f"seed-*/{_FILE}"))

    def _path(self, row: str, seed: int) -> Path:
        return self.folder / row / f"seed-{seed}" / _FILE

    def _made_with(self, row: AttackedRow, seed: int) -> dict[str, str]:
        """The options of the row's fits, each with its fit's name, and digests of what is asked and of each attack."""
        fits = {
            f"{point.folder.partition('/')[0]} {name}": value
            for point in made_by(row, seed, self.runs)
            for name, value in made_with(point.options, self.runs).items()
            if name not in UNEVALUATED
        }
        return {**fits, **self._asked}


def _asked(configs: Sequence[str], draw: int) -> dict[str, str]:
    options: dict[str, Any] = {}
    for name in configs:
        options |= OptionFile.read(located(name)).options
    attacks = options.pop("attacks")
    options.pop("full_attacks", None)
    found = {f"attack {name}": _digest(attack) for name, attack in attacks.items()}
    return {"draw": str(draw), "data and Trainer": _digest(options), **found}


def _digest(options: Any) -> str:
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


def _unit_as_json(unit: Unit, kept: Kept) -> dict[str, Any]:
    return {
        "model": unit.model,
        "attack": unit.attack,
        "point": unit.point,
        "settings": dict(unit.settings),
        "seed": unit.seed,
        "seconds": kept.seconds,
        "outcomes": [{name: _rounded(value) for name, value in one.as_json().items()} for one in kept.outcomes],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def _units(path: Path) -> Iterator[tuple[Unit, Kept]]:
    try:
        for one in read_results(path)["units"]:
            unit = Unit(one["model"], one["attack"], one["point"], one["settings"], one["seed"], ())
            yield unit, Kept([Outcome.from_json(outcome) for outcome in one["outcomes"]], one["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not what a study keeps ({error!r}); restore it, or remove it, and its attacks are run again"
        ) from error
