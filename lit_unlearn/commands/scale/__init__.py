"""`lit-unlearn scale`: layer, lengths, learning rate and retain weight that fit a model, found on its own rows."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.commands.log_filter import no_bars_in_files, quiet
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.scale import text
from lit_unlearn.commands.scale.aim import Aim
from lit_unlearn.commands.scale.figure import draw
from lit_unlearn.commands.scale.find import Found, find
from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import check_makable, write_whole
from lit_unlearn.runs.folder import RunFolder

_SCALE, _OVERLAY, _FIGURE = "scale.json", "overlay.yaml", "scale.png"
_FORGET = 1.2


def main(words: Sequence[str]) -> None:
    """Finds settings, prints them as an overlay and writes them, a table and a figure into a folder.

    Raises:
        InputError: an option, the model or the data cannot be used.
        SystemExit: with status 1 where no setting that was tried reaches what is asked for.
    """
    options, shared = _parser().parse_known_args(words)
    forget = _FORGET if options.forget is None else options.forget
    aim = Aim(options.steps, forget, options.retain, options.probes).checked()
    if options.write is not None:
        check_makable(options.write, "--write")
        if options.write.suffix not in (".yaml", ".yml") or options.write.is_dir():
            raise InputError(f"--write: {options.write} is not a name of a config; give one that ends in .yaml")
    with quiet(), no_bars_in_files(), RunFolder() as run:
        folder = run.claim(None if options.out is None else str(options.out), ["scale"])
        found = find(Words.read(shared, command="fit"), aim, layer=options.layer, own_rise=options.forget is None)
        print(text.report(found))
        _write(found, folder, options.write)
    overlay = options.write or folder / _OVERLAY
    print(f"\nWrote {overlay}, {folder / _SCALE} and {folder / _FIGURE}.")
    if not found.reached:
        print(text.SHORT)
        raise SystemExit(1)
    print(f"Unlearn with it: lit-unlearn fit {shlex.join(shared)} -c {overlay}")


def _write(found: Found, folder: Path, also: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)  # minutes later somebody may have removed it
    for path in filter(None, (folder / _OVERLAY, also)):
        write_whole(path, text.overlay(found))
    write_whole(folder / _SCALE, json.dumps(found.as_json(), indent=1) + "\n")
    draw(found, folder / _FIGURE)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="lit-unlearn scale",
        description="Finds the settings of a method that depend on the model: measures its hidden states, tries "
        "learning rates and retain weights in short trainings, and evaluates on held-out rows. Prints them as a "
        "config to be given after the one that was scaled. Model, data and method are a config's, -c CONFIG; all other "
        "options are those of fit.",
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the table, the figure and the config (default: runs/scale-TIME)"
    )
    parser.add_argument("--write", type=Path, help="file into which the config is written as well, such as mine.yaml")
    parser.add_argument("--steps", type=int, default=240, help="steps of a run at most (default: 240)")
    parser.add_argument("--layer", type=int, help="the steering layer (default: chosen by the states)")
    parser.add_argument(
        "--forget",
        type=float,
        help="nats per token that held-out forget rows lose (default: the rise of the config's StopAtForgetting, or "
        f"{_FORGET})",
    )
    parser.add_argument(
        "--retain", type=float, default=0.02, help="nats per token that held-out retain rows may lose (default: 0.02)"
    )
    parser.add_argument("--probes", type=int, default=5, help="short trainings at most (default: 5)")
    return parser
