"""What a card shows of attacks, grids and seeds that are not run this time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.attack import run as running
from lit_unlearn.commands.report.section import read_section
from lit_unlearn.errors import InputError

TUNING = "{class_path: FineTuning, init_args: {rows: retain, count: 2, steps: 1, every: 1, batch_size: 2}}"
FULL = """\
full_attacks:
  int4: {class_path: RoundedWeights, init_args: {bits: 4}}
  pruning: {class_path: PrunedWeights, init_args: {shares: [0.1, 0.2, 0.3]}}
"""


class Seen(NamedTuple):
    """A card after a command."""

    rows: dict[str, tuple[int, int]]
    """Of each attack the outcomes under a seed, and the seeds."""
    missing: str
    """What the text says of attacks without a row."""
    run: int
    """Units that the command ran."""


@pytest.fixture(scope="module")
def larger(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config with an attack that draws something, and with larger grids."""
    path = tmp_path_factory.mktemp("larger") / "card.yaml"
    path.write_text(f"{config.read_text()}  tuning: {TUNING}\n{FULL}")
    return path


@pytest.fixture(scope="module")
def command(attacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    """The command of a card in one folder, with a config and further words."""
    out = tmp_path_factory.mktemp("grown") / "out"
    run_one, run = running._run_one, []

    def counted(*words: Any) -> None:
        run.append(words)
        run_one(*words)

    def seen(config: Path, *words: str) -> Seen:
        run.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "_run_one", counted)
            main(["attack", str(attacked), "-c", str(config), "--out", str(out), "--debug", *words])
        section = read_section(out)
        (found,) = section.numbers.values()
        rows = {name: (attack["tried"], len(attack["worst"])) for name, attack in found.items()}
        return Seen(rows, section.text.partition("drawn by the seed.")[2].strip(), len(run))

    return seen


@pytest.fixture(scope="module")
def cards(command: Callable[..., Seen], larger: Path) -> list[Seen]:
    """One card after each of several commands."""
    words = ["--only pruning", "--only int8", "--only pruning", "--seeds 2", "", "--full --only pruning", ""]
    return [command(larger, *each.split()) for each in words]


def test_attacks_of_earlier_commands_stay_in_the_card(cards: list[Seen]) -> None:
    pruning, int8, again, *_ = cards
    without = {"none": (1, 1), "base": (1, 1)}
    assert pruning == Seen({**without, "pruning": (2, 1)}, "Not run yet: int8, tuning.", 4)
    assert int8 == Seen({**without, "int8": (1, 1), "pruning": (2, 1)}, "Not run yet: tuning.", 1)
    assert [*int8.rows] == [*without, "int8", "pruning"]  # in the config's order
    assert again == int8._replace(run=0)


def test_seeds_of_earlier_commands_stay_in_the_card(cards: list[Seen]) -> None:
    two, fewer = cards[3:5]
    assert two.rows["tuning"] == (1, 2)
    assert (two.missing, two.run) == ("", 2)
    assert fewer == two._replace(run=0)


def test_larger_grids_are_kept_beside_the_others_and_shown_in_their_place(cards: list[Seen]) -> None:
    before, full, fewer = cards[4:]
    assert full.rows == {**before.rows, "pruning": (3, 1)}
    assert (full.missing, full.run) == ("Not run yet: int4.", 3)
    assert fewer == Seen(full.rows, "", 0)  # larger grids were not asked for


def test_outcomes_of_other_options_are_not_shown(
    cards: list[Seen], command: Callable[..., Seen], larger: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(larger.read_text().replace("bits: 8", "bits: 7").replace("[0.1, 0.2, 0.3]", "[0.4]"))
    found = command(other, "--only", "tuning")
    assert found.rows == {**{name: row for name, row in cards[-1].rows.items() if name != "int8"}, "pruning": (2, 1)}
    assert found.missing.startswith("Not shown: int8, run with other options, other weights or another version; ")
    with pytest.raises(InputError, match="is of other options"):
        command(other, "--only", "int8")
