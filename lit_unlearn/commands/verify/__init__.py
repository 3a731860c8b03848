"""`lit-unlearn verify`: whether folders are as they were written, and results what comes out when computed again."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.runs import layout
from lit_unlearn.runs.checksums import wrong

_EPILOG = f"""\
Folders of finished runs and exports are compared with their {layout.CHECKSUMS}. A {layout.RESULTS} or
{layout.KEPT_RESULTS} is computed again: its numbers from the rows it holds, and with --run also the last evaluation, by
evaluating that run's export on the run's data, so that it needs the model and the data. Exit status 1 if anything
differs.
"""
_LIMIT = 20
"""Lines of what differs that are printed."""


def main(words: Sequence[str], *, evaluate: Callable[[list[str]], None]) -> None:
    """`lit-unlearn verify FOLDER|RESULTS...` or `lit-unlearn verify RESULTS --run RUN`.

    Args:
        words: after `verify`.
        evaluate: runs `lit-unlearn validate` with further words.

    Raises:
        InputError: no folder is given, one has no checksums, or results cannot be computed again.
        SystemExit: with status 1 when a file is missing, changed or not listed, or a number differs.
    """
    if not words:
        raise InputError(f"verify: takes folders, or a {layout.RESULTS}: lit-unlearn verify RUN RUN/export")
    options = _parser().parse(words)
    check_at_least("verify: --tolerance", options.tolerance, 0)
    paths: list[str] = options.paths
    files = [path for path in paths if Path(path).is_file()]
    if options.reference is not None and not files:
        raise InputError(f"verify: --reference is for a {layout.RESULTS}, got {' '.join(paths)}; name such a file")
    if options.run is not None and not (len(paths) == len(files) == 1):
        raise InputError(f"verify: --run is for one {layout.RESULTS}, got {' '.join(paths)}; name that file alone")
    as_written = [_results(Path(path), options, evaluate) for path in files]
    as_written.append(_folders([path for path in paths if path not in files]))
    if not all(as_written):
        raise SystemExit(1)


def _folders(folders: Sequence[str]) -> bool:
    """Whether every file of some folders is as it was written; says which are not."""
    found = {folder: wrong(Path(folder)) for folder in folders}
    for folder, lines in found.items():
        for line in lines:
            print(f"{folder}/{line}", file=sys.stderr)
        print(f"{folder}: {f'{len(lines)} files have changed' if lines else 'every file is unchanged'}")
    return not any(found.values())


def _results(path: Path, options: Namespace, evaluate: Callable[[list[str]], None]) -> bool:
    """Whether the numbers of a file of results come out again; says which do not."""
    from lit_unlearn.answers.reference import load_reference
    from lit_unlearn.commands.verify.evaluated import evaluated_again
    from lit_unlearn.commands.verify.results import differences, load_results, recomputed

    results = load_results(path)
    reference = options.reference and load_reference(options.reference, option="verify: --reference")
    found = {"numbers that its own rows give": recomputed(results, options.tolerance, reference)}
    if options.run is not None:
        again = evaluated_again(Path(options.run), results, evaluate)
        what = f"numbers of the model of {options.run}, evaluated again"
        found[what] = differences(results, again, options.tolerance)
    for what, one in found.items():
        for line in one.notes:
            print(f"{path}: {line}")
        _say(f"{path}: {what}", one.compared, one.lines)
    return not any(one.lines for one in found.values())


def _say(what: str, compared: int, lines: Sequence[str]) -> None:
    for line in lines[:_LIMIT]:
        print(line, file=sys.stderr)
    if len(lines) > _LIMIT:
        print(f"… and {len(lines) - _LIMIT} more", file=sys.stderr)
    print(f"{what}: {compared - len(lines)} of {compared} as written")


def _parser() -> CommandParser:
    about = "Whether runs and exports are as they were written, and results what comes out when computed again."
    parser = CommandParser("lit-unlearn verify", description=about, epilog=_EPILOG)
    parser.add_argument("paths", nargs="+", metavar="FOLDER|RESULTS", help="folders, and files of results")
    parser.add_argument("--run", help="folder of the run that the results are of; its model is evaluated again")
    parser.add_argument(
        "--reference",
        metavar="RUN|RESULTS",
        help="evaluation of the retain-only model that the results were compared with, to recompute forget quality and "
        "PrivLeak",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="how far a number may be from what is computed again: absolute below 1, else relative",
    )
    return parser
