"""What a card shows: the attacks that were run this time, and those of its config that had been before."""

from collections.abc import Sequence
from typing import NamedTuple

from lit_unlearn.commands.attack.config import FULL
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.attack.run import BASE, NONE, Card, results


class Shown(NamedTuple):
    """The rows of a card."""

    found: list[tuple[Unit, Kept]]
    """By attack, in the config's order."""
    not_run: list[str]
    """Names of the attacks of the config that are not done."""
    other: list[str]
    """Names of those whose outcomes are of other options, other weights or another version."""


def shown(card: Card) -> Shown:
    """What is kept of a card's models, under all seeds that all of them have.

    Of an attack with a larger grid, that one is shown where it is done.

    Raises:
        InputError: a unit of those that are run is not done, or what is kept cannot be read.
    """
    results(card)
    places = {name: place for place, name in enumerate(card.attacked)}
    rows = Shown([], [], [])
    for name in (NONE, BASE, *dict.fromkeys(key.removesuffix(FULL) for key in card.config.every)):
        keys = [key for key in (f"{name}{FULL}", name) if key in card.every]
        found = next(filter(None, (_complete(card, key) for key in keys)), [])
        rows.found.extend(found)
        if not found and name in card.config.names:
            (rows.other if any(_foreign(card, key) for key in keys) else rows.not_run).append(name)
    rows.found.sort(key=lambda pair: places[pair[0].model])
    return rows


def _complete(card: Card, name: str) -> list[tuple[Unit, Kept]]:
    """What all models gave under those seeds of which nothing is missing or of other options."""
    found = []
    for seed in _seeds(card, name):
        units = _units(card, name, seed)
        kept = [card.kept.own(unit) for unit in units]
        if all(kept):
            found += [(unit, one) for unit, one in zip(units, kept, strict=True) if one is not None]
    return found


def _foreign(card: Card, name: str) -> bool:
    """Whether something is kept of other options, other weights or another version."""
    units = [unit for seed in _seeds(card, name) for unit in _units(card, name, seed)]
    return any(card.kept.path(unit).is_file() and card.kept.own(unit) is None for unit in units)


def _units(card: Card, name: str, seed: int) -> list[Unit]:
    return [unit for one in card.attacked.values() for unit in card.units_of(one, name, [seed])]


def _seeds(card: Card, name: str) -> Sequence[int]:
    """Those of which anything is kept."""
    every = {seed for one in card.attacked for seed in card.kept.seeds(one, name)}
    return sorted(every) if card.every[name].random else (0,)
