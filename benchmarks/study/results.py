"""The studies on the demo world: methods with and without repairs and controls, over seeds, on fresh questions.

`python -m benchmarks.study.results STUDY` runs one, keeps what tables read in `docs/results/STUDY` and writes the
tables of its page: each row is a fit by the shipped configs, and what is kept is not run again. With `--tables` nothing
is run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.study.fits import choosing, relearning, reported
from benchmarks.study.kept import FOLDER, KeptFits
from benchmarks.study.mixing_settings import MIXING
from benchmarks.study.repair_settings import REPAIRS
from benchmarks.study.running import add_results, run_missing, with_table
from benchmarks.study.settings import METHODS, Setting
from benchmarks.study.tables import picture, section
from lit_unlearn.cli import refusals
from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import write_whole


class Study(NamedTuple):
    """What one command runs."""

    page: Path
    """Whose tables it writes."""
    settings: tuple[Setting, ...]
    picture: Path | None = None
    """Of forgetting against robustness, a panel for each setting."""


STUDIES = {
    "methods": Study(Path("docs/results.md"), METHODS),
    "mixing": Study(Path("docs/mixing.md"), MIXING, Path("docs/mixing.png")),
    "repairs": Study(Path("docs/repairs.md"), REPAIRS, Path("docs/repairs.png")),
}


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes the tables.

    Raises:
        InputError: the page has no place for a table, or what is kept was made with other options.
        SystemExit: a fit failed.
    """
    parser = argparse.ArgumentParser(description="Run a study on the demo world and write the tables of its page.")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--out", type=Path, help="folder of the runs, runs/STUDY if not given; resumes there")
    parser.add_argument("--page", type=Path, help="page whose tables are replaced, if not the study's own")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="folders of settings; all if not given")
    parser.add_argument("--rows", nargs="*", metavar="ROW", help="folders of repairs and controls; all if not given")
    parser.add_argument("--seeds", type=int, help="fits of each row, if not the study's own number")
    add_results(parser)
    options = parser.parse_args(words)
    study, out = STUDIES[options.study], options.out or Path("runs") / options.study
    page, results = options.page or study.page, options.results or FOLDER / options.study
    wanted = _wanted(study, options.only)
    asked = [_asked(setting, options.rows, options.seeds) for setting in wanted]
    for setting in wanted:
        with_table(page.read_text(encoding="utf-8"), setting.folder, setting.title, "")  # refused before anything runs
    if not options.tables:
        _run_all(asked, KeptFits(results, out, {}), options.workers)
    for setting in wanted:
        text = page.read_text(encoding="utf-8")  # hours later, maybe with other tables
        write_whole(page, with_table(text, setting.folder, setting.title, section(setting, results)))
    if study.picture and len(wanted) == len(study.settings):
        write_whole(page.with_name(study.picture.name), picture(wanted, results))
    print(f"The tables of {page} are those of {results}")


def _run_all(wanted: Sequence[Setting], kept: KeptFits, workers: int) -> None:
    """Runs what is not kept; what is chosen by some fits is what others have."""
    for fits in (
        lambda setting: [choosing(setting)],
        lambda setting: reported(setting, kept.folder),
        lambda setting: relearning(setting, kept.folder, kept.runs),
    ):
        points = kept.missing(point for setting in wanted for point in fits(setting))
        if points:
            run_missing(kept.runs, [], points, kind="a study on the demo world", workers=workers)
            kept.keep(points)


def _wanted(study: Study, only: Sequence[str] | None) -> list[Setting]:
    names = [setting.folder for setting in study.settings]
    if unknown := [name for name in only or () if name not in names]:
        raise InputError(f"--only: there is no {unknown[0]}; choose from {', '.join(names)}")
    return [setting for setting in study.settings if not only or setting.folder in only]


def _asked(setting: Setting, rows: Sequence[str] | None, seeds: int | None) -> Setting:
    """A setting with some of its rows, and its number of seeds."""
    names = [row.folder for row in setting.rows]
    if unknown := [name for name in rows or () if name not in names]:
        raise InputError(f"--rows: {setting.folder} has no {unknown[0]}; choose from {', '.join(names)}")
    kept = tuple(row for row in setting.rows if rows is None or row.folder in rows)
    return setting._replace(rows=kept, seeds=setting.seeds if seeds is None else seeds)


if __name__ == "__main__":
    with refusals("benchmarks.study.results"):
        main()
