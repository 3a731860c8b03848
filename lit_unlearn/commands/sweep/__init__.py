"""`lit-unlearn sweep`: a fit for each point of a grid and each seed, or the best point within limits."""

import argparse
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep.options import Axis, grid_points, method_point, read_axes, read_limit
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.runs import layout

_PREFIXES, _ANSWERS = "prefixes", "answers"  # in the sweep's folder, until it is done


def main(words: Sequence[str]) -> None:
    """Runs what is not done yet and says what came out.

    Raises:
        InputError: an option that cannot be used, Optuna is not installed, or fits that failed.
    """
    options, shared = _parser().parse_known_args(words)
    for name in ("seeds", "workers", "trials"):
        check_at_least(f"sweep: --{name}", getattr(options, name), 1)
    axes = read_axes(options.over)
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise InputError("sweep: optuna is not installed; pip install 'lit-unlearn[tune]'") from error
    (_search if options.maximize else _grid)(options, Words.read(shared, command="fit"), axes)


def _grid(options: argparse.Namespace, shared: Words, axes: Mapping[str, Axis]) -> None:
    from lit_unlearn.commands.sweep.grid import Point, run_points
    from lit_unlearn.commands.sweep.study import open_study

    if options.limit:
        raise InputError("sweep.limit: a grid has no limits; give --maximize too, to search")
    words = _with_stores(options, shared)
    points = [Point(*point) for point in grid_points(axes, options.seeds)]
    study = open_study(options.out, shared, kind="a grid", storage=options.storage)
    told = Progress(len(points))
    failed = run_points(
        study,
        options.out,
        words,
        points,
        workers=options.workers,
        report=lambda point, measured: told(point.folder if axes else f"{options.out}/{point.folder}", measured),
    )
    if failed:
        names = ", ".join(str(options.out / point.folder) for point in failed)
        raise InputError(f"sweep: the fits of {names} failed; see the .log beside each folder, then sweep again")
    _remove_stores(options.out)
    print(f"All {len(points)} fits are done.")
    first, *_ = (options.out / point.folder for point in points)
    if (first / layout.RESULTS).is_file():
        out, named = shlex.quote(str(options.out)), method_point(axes)
        method = f"--method {shlex.quote(f'{options.out}/{named}')} " if named else ""
        print(f"Compare them: lit-unlearn report {method}{out}{'/*/' if axes else ''}")


def _search(options: argparse.Namespace, shared: Words, axes: Mapping[str, Axis]) -> None:
    from lit_unlearn.commands.sweep.search import best, sampler, search
    from lit_unlearn.commands.sweep.study import open_study, shown

    if not axes:
        raise InputError("sweep.over: nothing to search; give at least one option and its values or range")
    words = _with_stores(options, shared)
    limits = [read_limit(limit) for limit in options.limit]
    kind = f"a search for {options.maximize} within {options.limit} over {options.over}, {options.seeds} seeds each"
    study = open_study(options.out, shared, kind=kind, storage=options.storage, sampler=sampler())
    search(
        study,
        options.out,
        words,
        axes,
        maximize=options.maximize,
        limits=limits,
        trials=options.trials,
        seeds=options.seeds,
        workers=options.workers,
        report=Progress(options.trials),
    )
    _remove_stores(options.out)
    found = best(study)
    if found is None:
        print(f"None of the trials keeps the limits {', '.join(options.limit)}.")
    else:
        values = " ".join(f"--{option} {value}" for option, value in found.params.items())
        name = options.maximize.removeprefix("-")
        value = (found.value or 0) * (-1 if options.maximize.startswith("-") else 1)
        print(f"Best within the limits: {values}, with {name} {shown(name, value)}")


def _with_stores(options: argparse.Namespace, shared: Words) -> list[str]:
    """The options of all fits, with those of the stores that they share; these decide nothing but their speed."""
    words = [*shared.typed]
    if not shared.has("model.answer_store"):
        words += ["--model.answer_store", str(options.out / _ANSWERS)]
    if options.store_gib == 0:
        return words
    if options.store_gib < 0:
        raise InputError(f"sweep.store_gib: {options.store_gib} is not a size; give more than 0, or leave it out")
    if shared.has("model.prefix_store"):
        raise InputError("sweep.store_gib: the fits are given a model.prefix_store too; leave out one of the two")
    store = {"folder": options.out / _PREFIXES, "max_gib": options.store_gib}
    return [*words, *(word for name, value in store.items() for word in (f"--model.prefix_store.{name}", str(value)))]


def _remove_stores(folder: Path) -> None:
    for store in (_PREFIXES, _ANSWERS):
        shutil.rmtree(folder / store, ignore_errors=True)


class Progress:
    """A line for each fit or trial that is done, above a bar."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit="done")

    def __call__(self, name: str, measured: Mapping[str, float]) -> None:
        """Says what one ended with."""
        from lit_unlearn.commands.sweep.study import shown  # which imports Optuna

        self._bar.write(
            "  ".join([f"{name}:", *(f"{variant} {shown(variant, value)}" for variant, value in measured.items())])
        )
        self._bar.update()


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="lit-unlearn sweep",
        description="A fit for each combination of values and each seed, in a folder of its own; done ones are "
        "skipped. Fits on one device run one after the other in one process of each worker. With --maximize, a search. "
        "All other options are those of fit.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="OPTION=VALUES",
        help="an option of fit and its values, V1,V2,...; in a search also a range, LOW..HIGH or LOW..HIGH:log",
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N - 1 of every combination (default: 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sweep, new or one to resume")
    parser.add_argument("--workers", type=int, default=1, help="fits at a time on this machine (default: 1)")
    parser.add_argument(
        "--storage",
        help="SQLAlchemy URL of the study, for machines that share no disk (default: study.log in the folder)",
    )
    parser.add_argument(
        "--maximize",
        metavar="VARIANT",
        help="search: what is to be high, such as retain/4-gram or forget_nll; "
        "--maximize=-VARIANT is to be low, such as -insert/16-gram/trained/damage",
    )
    parser.add_argument(
        "--limit", action="append", default=[], metavar="VARIANT<=X", help="search: a bound, such as forget<=0.3"
    )
    parser.add_argument("--trials", type=int, default=30, help="search: how many (default: 30)")
    parser.add_argument(
        "--store-gib",
        type=float,
        default=0.0,
        metavar="GIB",
        help="let fits keep hidden states that training does not change for each other, in a folder of the sweep of "
        "at most GIB gibibytes, which is removed in the end (default: 0, none)",
    )
    return parser
