"""What the theory behind the methods says, and what finished runs show: `lit-unlearn analyse NAME RUN...`."""

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.report.section import write_section
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.runs import layout


class _Analysis(NamedTuple):
    """A command; its module's `analyse` takes paths, words, `count` and `batch_size`."""

    title: str
    paths: str
    """What the paths are, as help shows them; each name is one path, with `...` one or more."""
    counted: str
    """What of each set or stream is limited."""
    limit: int
    """Of these, at most, by default."""
    files: Mapping[str, str] = {}
    """Its own options, which name a file, and their help; its `analyse` takes them by name, None if not given."""
    module: str | None = None
    """Where it is, if not in the file of its name."""


_ANALYSES = {
    "maxlogit": _Analysis("MaxLogit of the base and of each run's model", "RUN...", "questions", 48),
    "output-variance": _Analysis("Theorem 4.3: variance of the output under a forget token", "RUN...", "questions", 96),
    "reject-probability": _Analysis(
        "Theorem 5.2: how often Random Noise Augmentation turns a loss change", "METHOD_RUN RNA_RUN", "questions", 288
    ),
    "logit-lens": _Analysis("accuracy on forget questions as each layer's states have it", "RUN...", "questions", 288),
    "spillover": _Analysis("where in a question a forget token does its harm", "RUN...", "questions", 288),
    "noise-sensitivity": _Analysis(
        "what noise on hidden states does to the loss and to the layers above", "RUN_OR_CONFIG...", "rows", 64
    ),
    "alignment": _Analysis("cosine of forget states with the steering vector, by layer", "RUN...", "rows", 128),
    "strays": _Analysis(
        "rows that resemble another stream's, and how well they are found",
        "RUN_OR_CONFIG",
        "rows",
        16384,
        {"trusted": "rows whose class is known: records with `class` (forget/TOPIC or retain) and `text`"},
    ),
    "rows": _Analysis(
        "how far each training row was moved, and its losses before and after", "RUN", "rows", 2048, module="moved_rows"
    ),
    "streams": _Analysis("similarity of a forget and a retain stream", "RUN_OR_CONFIG", "rows", 512),
}


def main(words: Sequence[str]) -> None:
    """Prints what an analysis found and writes section.json, section.md, figure.png and figure.svg.

    Raises:
        InputError: an option or a run cannot be used, or matplotlib or scipy is not installed.
    """
    # Taken out first: to argparse a word with a space in it is a path.
    own = [word for word in words if not _is_shared(word)]
    options, shared = _parser().parse_known_args(own)
    shared += [word for word in words if _is_shared(word)]
    check_at_least(f"analyse {options.name}: --{_ANALYSES[options.name].counted}", options.count, 1)
    check_at_least(f"analyse {options.name}: --batch-size", options.batch_size, 1)
    out = options.out or _default_out(options.paths[0], options.name)
    if out.exists():
        raise InputError(f"{out} exists already; give another folder after --out, or remove it")
    analyse = _module(options.name).analyse
    from lit_unlearn.commands.log_filter import quiet

    files = {name: getattr(options, name) for name in _ANALYSES[options.name].files}
    with quiet():
        section, figure = analyse(options.paths, shared, count=options.count, batch_size=options.batch_size, **files)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_section(out, section, figure)
    print(f"\n{section.markdown()}")
    print(f"Open {out / layout.FIGURE_PNG} and {out / layout.SECTION_TEXT}.")


def _is_shared(word: str) -> bool:
    """Whether a word is an option of `fit` with its value."""
    name, sign, _ = word.partition("=")
    return name.startswith("--") and sign == "=" and "." in name


def _default_out(path: Path, name: str) -> Path:
    return (path if path.is_dir() else Path()) / layout.ANALYSES / name


def _module(name: str) -> Any:
    """The module of an analysis, imported before anything is loaded.

    Raises:
        InputError: matplotlib or scipy is not installed.
    """
    try:
        return import_module(f"lit_unlearn.commands.analysis.{_ANALYSES[name].module or name.replace('-', '_')}")
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("matplotlib", "scipy"):
            raise
        raise InputError(
            f"analyse: {error.name.partition('.')[0]} is not installed; pip install 'lit-unlearn[report]'"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="lit-unlearn analyse", description="Analyses of finished runs.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, analysis in _ANALYSES.items():
        command = commands.add_parser(
            name,
            help=analysis.title,
            description=f"{analysis.title}. All other options are those of fit, written --KEY=VALUE, and win over the "
            "run's own: --data.batch_size=2, --trainer.accelerator=cpu.",
            allow_abbrev=False,
        )
        _add_paths(command, analysis.paths)
        command.add_argument(
            f"--{analysis.counted}",
            dest="count",
            type=int,
            metavar="N",
            default=analysis.limit,
            help=f"at most N {analysis.counted} of each set or stream (default: {analysis.limit})",
        )
        command.add_argument("--batch-size", type=int, default=16, metavar="N", help="that run together (default: 16)")
        for option, text in analysis.files.items():
            command.add_argument(f"--{option}", type=Path, metavar="FILE", help=text)
        command.add_argument("--out", type=Path, help=f"folder to write (default: RUN/analysis/{name})")
    return parser


def _add_paths(command: argparse.ArgumentParser, paths: str) -> None:
    names = paths.removesuffix("...").split()
    count: str | int = "+" if paths.endswith("...") else len(names)
    # One word: argparse cannot show several for a positional.
    metavar = names[0] if len(names) == 1 else "RUN"
    shown = "folder of a finished run" if len(names) == 1 else f"folders of finished runs: {' '.join(names)}"
    command.add_argument("paths", type=Path, nargs=count, metavar=metavar, help=shown)
