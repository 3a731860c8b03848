"""The studies on the demo world: methods with and without repairs and controls, over seeds, on fresh questions.

`python -m benchmarks.study.results STUDY` runs one and writes its tables: each row is a fit by the shipped configs, and
done ones are not repeated.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.study.fits import choosing, relearning, reported
from benchmarks.study.mixing_settings import MIXING
from benchmarks.study.repair_settings import REPAIRS
from benchmarks.study.running import run_missing, with_table
from benchmarks.study.settings import METHODS, Setting
from benchmarks.study.tables import picture, section
from lit_unlearn.commands.sweep.grid import Point
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
    "repairs": Study(Path("docs/repairs.md"), REPAIRS),
}


def main(words: Sequence[str] | None = None) -> None:
    """Runs what is missing, then writes the tables.

    Raises:
        InputError: the page has no place for a table.
        SystemExit: a fit failed.
    """
    parser = argparse.ArgumentParser(description="Run a study on the demo world and write the tables of its page.")
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--out", type=Path, help="folder of the runs, runs/STUDY if not given; resumes there")
    parser.add_argument("--page", type=Path, help="page whose tables are replaced, if not the study's own")
    parser.add_argument("--workers", type=int, default=2, help="fits at a time")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="folders of settings; all if not given")
    options = parser.parse_args(words)
    study, out = STUDIES[options.study], options.out or Path("runs") / options.study
    page = options.page or study.page
    wanted = _wanted(study, options.only)
    for setting in wanted:
        with_table(page.read_text(encoding="utf-8"), setting.folder, setting.title, "")  # refused before anything runs
    _run(out, [choosing(setting) for setting in wanted], options.workers)
    _run(out, [point for setting in wanted for point in reported(setting, out)], options.workers)
    _run(out, [point for setting in wanted for point in relearning(setting, out)], options.workers)
    for setting in wanted:
        text = page.read_text(encoding="utf-8")  # hours later, maybe with other tables
        write_whole(page, with_table(text, setting.folder, setting.title, section(setting, out)))
    if study.picture and len(wanted) == len(study.settings):
        write_whole(page.with_name(study.picture.name), picture(wanted, out))
    print(f"The tables of {page} are those of {out}")


def _wanted(study: Study, only: Sequence[str] | None) -> list[Setting]:
    names = [setting.folder for setting in study.settings]
    if unknown := [name for name in only or () if name not in names]:
        raise InputError(f"--only: there is no {unknown[0]}; choose from {', '.join(names)}")
    return [setting for setting in study.settings if not only or setting.folder in only]


def _run(folder: Path, wanted: Sequence[Point], workers: int) -> None:
    run_missing(folder, [], wanted, kind="a study on the demo world", workers=workers)


if __name__ == "__main__":
    main()
