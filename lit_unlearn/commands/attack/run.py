"""Runs what is not done yet of a card."""

import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from lit_unlearn.commands.attack import models
from lit_unlearn.commands.attack.config import CardConfig
from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.kept import Kept, KeptOutcomes, Unit
from lit_unlearn.commands.attack.models import AttackedModel
from lit_unlearn.commands.attack.one_process import check_memory
from lit_unlearn.commands.attack.target import Target, of_other_model
from lit_unlearn.commands.attack.unattacked import BeforeUnlearning, Unattacked
from lit_unlearn.errors import Diverged, InputError
from lit_unlearn.models.source import ModelSource

NONE = "none"
"""The name of no attack: the model as it is."""
BASE = "base"
"""The name of no attack on the model before unlearning."""
_CODE = ("lit-unlearn", "torch", "transformers")


class Card:
    """All units of a card, in their order.

    Args:
        config: the data and the attacks.
        attacked: the models.
        folder: of the card.
        seeds: under which each attack that draws something is run; the others are run once, under 0.

    Raises:
        InputError: an attack needs the model before unlearning and none is known, or a name is taken.
    """

    def __init__(
        self, config: CardConfig, attacked: Sequence[AttackedModel], folder: Path, *, seeds: Sequence[int]
    ) -> None:
        for name in (NONE, BASE):
            if name in config.every:
                raise InputError(f"attacks.{name}: that is the name of the model without an attack; choose another")
        self.config = config
        self.attacked = {one.name: one for one in attacked}
        self.kept = KeptOutcomes(folder)
        self.seeds = seeds
        without: Mapping[str, Attack] = {NONE: Unattacked(), BASE: BeforeUnlearning()}
        self.attacks = {**without, **config.attacks}
        self.every = {**without, **config.every}
        for one in attacked:
            self._check(one)
        self._digests = {one.name: models.digest(one.source) for one in attacked}
        self._base_digests = {one.name: models.digest(one.base) for one in attacked}
        self._other_digests: dict[str, list[str]] = {}

    def units(self) -> Iterator[Unit]:
        """What is to be run: each model as it is and before unlearning, then each attack on it."""
        for one in self.attacked.values():
            for name in self.attacks:
                yield from self.units_of(one, name, self.seeds)

    def units_of(self, one: AttackedModel, name: str, seeds: Sequence[int]) -> Iterator[Unit]:
        """The units of one attack on one model; none before unlearning where that model is not known.

        Args:
            one: a model of the card.
            name: of an attack of the config, whether or not it is run.
            seeds: under which it is run if it draws something.
        """
        attack = self.every[name]
        for seed in seeds if attack.random else (0,):
            for point, settings in enumerate(attack.points() if name != BASE or one.base is not None else ()):
                yield self._unit(one, name, point, settings, seed)

    def waiting(self) -> list[Unit]:
        """The units that are not done.

        Raises:
            InputError: the folder holds outcomes of other options or another model.
        """
        return [unit for unit in self.units() if self.kept.get(unit) is None]

    def targets(self) -> dict[str, Target]:
        """Each model with the data, which all of them share; nothing is loaded."""
        first, *others = self.attacked.values()
        config = self.config
        target = Target(first.source, first.base, config.data, forget=config.forget, trainer=config.trainer)
        found = {first.name: target}
        for one in others:
            found[one.name] = of_other_model(target, one.source, one.base)
        return found

    def _unit(self, one: AttackedModel, name: str, point: int, settings: Settings, seed: int) -> Unit:
        attack = self.every[name]
        base = self._base_digests[one.name] if attack.needs_base or attack.asks_base else ""
        if name not in self._other_digests:
            self._other_digests[name] = [models.digest(ModelSource(other)) for other in attack.others()]
        others = self._other_digests[name]
        code = " ".join(f"{package} {version(package)}" for package in _CODE)
        own = self.config.options[name if name in self.config.every else ""]
        return Unit(one.name, name, point, settings, seed, (own, self._digests[one.name], base, *others, code))

    def _check(self, one: AttackedModel) -> None:
        needing = [name for name, attack in self.config.attacks.items() if attack.needs_base]
        if needing and one.base is None:
            raise InputError(
                f"attack: {', '.join(needing)} compare with the model before unlearning, and {one.name} does not say "
                "which it was; give --base MODEL, or leave them out by --only"
            )


def run(card: Card) -> None:
    """Runs the units that are not done and that no other worker runs.

    Raises:
        InputError: an attack cannot be run on this model, or not on this device.
    """
    waiting = card.waiting()
    if not waiting:
        return
    targets = card.targets()
    for target in targets.values():
        target.check()
        check_memory(target)
    _ = targets[waiting[0].model].data  # all attacks share it: refused before anything is kept, and on no one's clock
    for model, attack in dict.fromkeys((unit.model, unit.attack) for unit in waiting):
        card.attacks[attack].check(targets[model])
    for unit in waiting:
        lock = card.kept.claim(unit)
        if lock is None:
            continue
        try:
            if card.kept.get(unit) is None:  # another worker may have been faster
                _run_one(card, unit, targets[unit.model])
        finally:
            card.kept.release(lock)


def results(card: Card) -> list[tuple[Unit, Kept]]:
    """What all units gave.

    Raises:
        InputError: one is not done.
    """
    found = [(unit, card.kept.get(unit)) for unit in card.units()]
    missing = dict.fromkeys(f"{unit.model}/{unit.attack}" for unit, kept in found if kept is None)
    if missing:
        raise InputError(f"attack: {', '.join(missing)} are not done; run the same command again")
    return [(unit, kept) for unit, kept in found if kept is not None]


def _run_one(card: Card, unit: Unit, target: Target) -> None:
    attack = card.attacks[unit.attack]
    began = time.perf_counter()
    try:
        outcomes = list(attack.attempt(target, unit.settings, unit.seed))
    except Diverged as error:
        outcomes = [Outcome(unit.settings, failed=str(error))]
    seconds = time.perf_counter() - began
    card.kept.add(unit, outcomes, seconds)
    print(f"{unit.model}  {attack.title}  {_shown(attack, outcomes)}  {seconds:.1f} s", flush=True)


def _shown(attack: Attack, outcomes: Sequence[Outcome]) -> str:
    worst = attack.worst(outcomes)
    if worst.failed is not None:
        return worst.failed
    found = worst.measures.get("forget_accuracy")
    return "" if found is None else f"forget {100 * found.value:.1f} %"
