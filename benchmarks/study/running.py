"""Runs the fits of a study that are not done, and puts their tables into its page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep import Progress
from lit_unlearn.commands.sweep.grid import Point, run_points
from lit_unlearn.commands.sweep.study import open_study
from lit_unlearn.errors import InputError


def add_results(parser: argparse.ArgumentParser) -> None:
    """The options of what is kept of a study."""
    parser.add_argument("--results", type=Path, help="folder of what is kept, docs/results/STUDY if not given")
    parser.add_argument("--tables", action="store_true", help="make the tables of what is kept, and run nothing")


def run_missing(folder: Path, shared: Sequence[str], wanted: Sequence[Point], *, kind: str, workers: int) -> None:
    """Runs the fits that are not done.

    Args:
        folder: of the study.
        shared: options of all fits.
        wanted: the fits, in the order in which they run.
        kind: what the folder holds.
        workers: fits at a time.

    Raises:
        SystemExit: some failed.
    """
    words = [*shared, "--trainer.enable_progress_bar", "false"]
    told = Progress(len(wanted))
    failed = run_points(
        open_study(folder, Words.read(words, command="fit"), kind=kind),
        folder,
        words,
        wanted,
        workers=workers,
        report=lambda point, measured: told(point.folder, measured),
    )
    if failed:
        raise SystemExit(f"{len(failed)} fits failed; see {folder / failed[0].folder}.log")


def with_table(page: str, name: str, title: str, table: str) -> str:
    """The page with another table between the two lines that mark its place.

    Args:
        page: markdown.
        name: of the place.
        title: of the table, for the error.
        table: markdown.

    Raises:
        InputError: the page has no place for it.
    """
    begin, end = (f"<!-- {word}: {name} -->" for word in ("begin", "end"))
    if begin not in page or end not in page:
        raise InputError(f"--page: there is no place for {title}; write {begin} and {end}, each on a line")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{table}\n{end}{rest.partition(end)[2]}"
