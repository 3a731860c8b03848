"""What a card shows of attacks, grids and seeds that are not run this time."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from lit_unlearn.commands.attack import config as card_config
from lit_unlearn.commands.attack import models
from lit_unlearn.commands.attack.card import write_card
from lit_unlearn.commands.attack.contract import Outcome
from lit_unlearn.commands.attack.run import Card
from lit_unlearn.commands.attack.shown import Shown, shown
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError
from lit_unlearn.questions.statistics import Estimate

TUNING = "{class_path: FineTuning, init_args: {rows: retain, count: 2, steps: 1, every: 1, batch_size: 2}}"
FULL = """\
full_attacks:
  int4: {class_path: RoundedWeights, init_args: {bits: 4}}
  pruning: {class_path: PrunedWeights, init_args: {shares: [0.1, 0.2, 0.3]}}
"""


@pytest.fixture(scope="module")
def larger(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config with an attack that draws something, and with larger grids."""
    path = tmp_path_factory.mktemp("larger") / "card.yaml"
    path.write_text(f"{config.read_text()}  tuning: {TUNING}\n{FULL}")
    return path


@cache
def read(config: Path, only: tuple[str, ...], full: bool) -> card_config.CardConfig:
    """A config, once for all tests."""
    return card_config.read(Words.read(["-c", str(config)], command="attack"), only=only, full=full)


class Commands:
    """Cards of one folder, of which nothing is run: what would be is kept with invented numbers."""

    def __init__(self, attacked: Sequence[Path], folder: Path) -> None:
        self.attacked = attacked
        self.folder = folder

    def card(self, config: Path, *only: str, full: bool = False, seeds: int = 1) -> Card:
        found = models.find([*map(str, self.attacked)], base=None)
        return Card(read(config, only, full), found, self.folder, seeds=range(seeds))

    def run(self, config: Path, *only: str, full: bool = False, seeds: int = 1) -> Card:
        card = self.card(config, *only, full=full, seeds=seeds)
        for unit in card.waiting():
            card.kept.add(unit, [Outcome(unit.settings, {"forget_accuracy": Estimate(0.25, 0.1)})], 1.0)
        return card


@pytest.fixture
def commands(attacked: Path, tmp_path: Path) -> Commands:
    return Commands([attacked], tmp_path / "out")


def rows(found: Shown) -> dict[str, list[tuple[int, int]]]:
    """Of each attack the points and seeds that are shown."""
    every: dict[str, list[tuple[int, int]]] = {}
    for unit, _ in found.found:
        every.setdefault(unit.attack, []).append((unit.point, unit.seed))
    return every


ONCE = [(0, 0)]
WITHOUT = {"none": ONCE, "base": ONCE}
PRUNING, LARGER = [(0, 0), (1, 0)], [(0, 0), (1, 0), (2, 0)]


def test_attacks_of_earlier_commands_stay_in_the_card(commands: Commands, larger: Path) -> None:
    found = shown(commands.run(larger, "pruning"))
    assert rows(found) == {**WITHOUT, "pruning": PRUNING}
    assert (found.not_run, found.other) == (["int8", "tuning"], [])
    card = commands.run(larger, "int8")
    found = shown(card)
    assert [*rows(found)] == ["none", "base", "int8", "pruning"]  # in the config's order
    assert found.not_run == ["tuning"]
    section = write_card(card, commands.folder)
    assert [*section.numbers["method"]] == ["none", "base", "int8", "pruning"]
    assert section.text.endswith("\n\nNot run yet: tuning.")
    assert shown(commands.card(larger, "pruning")) == found


def test_a_grid_that_was_interrupted_is_not_shown(commands: Commands, larger: Path) -> None:
    commands.run(larger, "int8")
    card = commands.card(larger, "pruning")
    card.kept.add(card.waiting()[0], [Outcome({})], 1.0)
    found = shown(commands.card(larger, "int8"))
    assert "pruning" not in rows(found)
    assert (found.not_run, found.other) == (["pruning", "tuning"], [])
    with pytest.raises(InputError, match="method/pruning are not done"):
        shown(card)


def test_seeds_of_earlier_commands_stay_in_the_card(commands: Commands, larger: Path) -> None:
    every = shown(commands.run(larger, seeds=3))
    assert rows(every) == {**WITHOUT, "int8": ONCE, "pruning": PRUNING, "tuning": [(0, 0), (0, 1), (0, 2)]}
    assert (every.not_run, every.other) == ([], [])
    assert shown(commands.card(larger)) == every


def test_larger_grids_are_kept_beside_the_others_and_shown_in_their_place(commands: Commands, larger: Path) -> None:
    commands.run(larger)
    card = commands.run(larger, "pruning", full=True)
    found = shown(card)
    expected = {**WITHOUT, "int8": ONCE, "pruning+full": LARGER, "tuning": ONCE}
    assert rows(found) == expected
    assert found.not_run == ["int4"]
    assert [*write_card(card, commands.folder).numbers["method"]] == ["none", "base", "int8", "pruning", "tuning"]
    fewer = commands.card(larger)
    assert fewer.waiting() == []
    assert rows(shown(fewer)) == expected
    assert shown(fewer).not_run == []  # larger grids were not asked for


def test_outcomes_of_other_options_are_not_shown(commands: Commands, larger: Path, tmp_path: Path) -> None:
    commands.run(larger, full=True)
    commands.run(larger, "pruning")
    other = tmp_path / "other.yaml"
    other.write_text(larger.read_text().replace("bits: 8", "bits: 7").replace("[0.1, 0.2, 0.3]", "[0.4]"))
    card = commands.run(other, "tuning")
    found = shown(card)
    assert rows(found) == {**WITHOUT, "int4": ONCE, "pruning": PRUNING, "tuning": ONCE}
    assert (found.not_run, found.other) == ([], ["int8"])
    assert "\n\nNot shown: int8, run with other options" in write_card(card, commands.folder).text
    with pytest.raises(InputError, match="is of other options"):
        commands.run(other, "int8")


def test_of_several_models_an_attack_is_shown_that_all_have(
    attacked: Path, world: Path, larger: Path, tmp_path: Path
) -> None:
    both, alone = (Commands(paths, tmp_path / "out") for paths in ([attacked, world / "model"], [attacked]))
    alone.run(larger, seeds=2)
    found = shown(both.run(larger, "tuning"))
    assert [(unit.model, unit.attack, unit.seed) for unit, _ in found.found if unit.attack != "base"] == [
        (model, attack, 0) for model in ("method", "model") for attack in ("none", "tuning")
    ]
    assert found.not_run == ["int8", "pruning"]
