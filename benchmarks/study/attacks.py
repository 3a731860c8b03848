"""The study of attacks on the demo world: does what makes a model usable again make relearning easier?

`python -m benchmarks.study.attacks` fits what is not fitted, attacks what is not attacked, seed by seed, keeps what
tables read in `docs/results/attacks`, and writes the tables and the figure of docs/attack.md from what is kept there.
With `--tables` nothing is run.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.study.attack_settings import BASE, ROWS, AttackedRow, export, fitted, repaired
from benchmarks.study.attack_tables import cells, compared, failures, picture, tables
from benchmarks.study.kept import FOLDER
from benchmarks.study.kept_attacks import KeptAttacks
from benchmarks.study.running import add_results, run_missing, with_table
from benchmarks.study.tables import NOT_RUN
from lit_unlearn.cli import refusals
from lit_unlearn.commands.attack import config
from lit_unlearn.commands.attack.config import CardConfig
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.attack.models import AttackedModel
from lit_unlearn.commands.attack.run import BASE as BEFORE
from lit_unlearn.commands.attack.run import Card, results, run
from lit_unlearn.commands.log_filter import no_bars_in_files, quiet, silent
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.runs.atomic_files import write_whole

PAGE = Path("docs/attack.md")
ATTACKS = Path(__file__).with_suffix(".yaml")
NAME = "attacks-study"
_DRAW = 2
"""Of the questions, that of the other studies; settings were chosen on another."""


class StudyCard(Card):
    """A card without the model before unlearning, which is a row of its own here."""

    def units(self) -> Iterator[Unit]:
        """All others."""
        return (unit for unit in super().units() if unit.attack != BEFORE)


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is not kept, then writes tables and figure of all that is.

    Raises:
        InputError: there is no such row, the page has no place for the tables, or what is kept was made otherwise.
        SystemExit: a fit failed.
    """
    options = _parser().parse_args(words)
    rows = _wanted(options.only)
    with_table(options.page.read_text(encoding="utf-8"), NAME, "the study of attacks", "")  # refused before all else
    configs = ["demo_attack.yaml", str(options.attacks)]
    words = [word for config in configs for word in ("-c", config)]
    attacks = config.read(Words.read([*words, f"--data.draw={_DRAW}"], command="attack"))
    for name, attack in attacks.attacks.items():
        if len(attack.points()) > 1:
            raise InputError(f"--attacks: {name} has {len(attack.points())} settings, and the tables room for one")
    kept = KeptAttacks(options.results or FOLDER / "attacks", options.out, configs, _DRAW)
    seeds = range(0 if options.tables else options.seeds)
    waiting = {seed: missing for seed in seeds if (missing := kept.missing(rows, seed))}
    for seed, missing in waiting.items():
        kept.keep(_of_seed(missing, seed, attacks, options), missing, seed)
    write(kept.read(), options.page)


def write(found: Sequence[tuple[Unit, Kept]], page: Path) -> None:
    """Writes tables and figure of what was found.

    Args:
        found: by all attacks.
        page: whose tables are replaced; the figure stands beside it.
    """
    measured = cells(found)
    run = {place.row for place in measured}
    rows = [row for row in ROWS if row.folder in run]
    others = [row.title for row in ROWS if row.folder not in run]
    not_run = f"{NOT_RUN}{'; '.join(others)}.\n" if others else ""
    text = page.read_text(encoding="utf-8")  # maybe hours later, with other tables
    content = "\n".join(filter(None, [not_run, tables(measured, rows), compared(measured, rows), failures(found)]))
    write_whole(page, with_table(text, NAME, "the study of attacks", content))
    write_whole(page.with_name(f"{NAME}.png"), picture(measured, rows))
    print(f"{page} and {NAME}.png show {sum(kept.seconds for _, kept in found):.0f} seconds of attacks")


def _of_seed(
    rows: Sequence[AttackedRow], seed: int, attacks: CardConfig, options: argparse.Namespace
) -> list[tuple[Unit, Kept]]:
    """What the attacks find under a seed, which fits and attacks share; what they had found is not run again."""
    for wanted in (fitted(rows, seed), repaired(rows, seed, options.out)):
        run_missing(options.out, [], [*wanted], kind=NAME, workers=options.workers)
    card = StudyCard(attacks, [_model(row, seed, options.out) for row in rows], options.out / "card", seeds=[seed])
    with quiet(), silent(), no_bars_in_files():
        run(card)
    return results(card)


def _model(row: AttackedRow, seed: int, runs: Path) -> AttackedModel:
    base = ModelSource("demo")
    if row.folder == BASE:
        return AttackedModel(BASE, base, base, None, BASE)
    source = ModelSource(str(export(row.folder, seed, runs)))
    return AttackedModel(f"{row.folder}/seed-{seed}", source, base, None, row.folder)


def _wanted(only: Sequence[str] | None) -> list[AttackedRow]:
    names = [row.folder for row in ROWS]
    if unknown := [name for name in only or () if name not in names]:
        raise InputError(f"--only: there is no {unknown[0]}; choose from {', '.join(names)}")
    return [row for row in ROWS if not only or row.folder in only]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fit and attack models of the demo world, and write their tables.")
    parser.add_argument("--seeds", type=int, default=5, help="of fits and attacks, one after the other")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows; all if not given")
    parser.add_argument("--attacks", type=Path, default=ATTACKS, help="config of the attacks")
    parser.add_argument("--out", type=Path, default=Path("runs/attacks"), help="folder of runs and outcomes; resumes")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose tables are replaced")
    parser.add_argument("--workers", type=int, default=1, help="fits at a time")
    add_results(parser)
    return parser


if __name__ == "__main__":
    with refusals("benchmarks.study.attacks"):
        main()
