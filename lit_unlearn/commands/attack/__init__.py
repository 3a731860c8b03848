"""`lit-unlearn attack`: does a model stay unlearned, and usable, once people change it?"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import check_makable


def main(words: Sequence[str]) -> None:
    """Runs the attacks that are not done yet, prints the card and writes it.

    Raises:
        InputError: an option, a model or the data cannot be used, or the report extra is not installed.
    """
    own = [word for word in words if not _is_shared(word)]
    options, rest = _parser().parse_known_args(own)
    shared = [*_configs(options.config), *rest, *(word for word in words if _is_shared(word))]
    options.workers = 1 if options.work else options.workers
    check_at_least("attack: --seeds", options.seeds, 1)
    check_at_least("attack: --workers", options.workers, 1)
    if not options.plan:
        _check_drawing()
    from lit_unlearn.commands.attack import config, models, run
    from lit_unlearn.commands.attack.card import write_card
    from lit_unlearn.commands.attack.model_card import add_to_model_card
    from lit_unlearn.commands.attack.one_process import check_alone
    from lit_unlearn.commands.attack.planned import planned
    from lit_unlearn.commands.attack.workers import work
    from lit_unlearn.commands.log_filter import no_bars_in_files, quiet, silent

    check_alone()
    found = config.read(Words.read(shared, command="attack"), only=options.only, full=options.full)
    attacked = models.find(options.paths, base=options.base or found.base)
    home = None if options.out else _home([one.run for one in attacked])
    out = options.out if home is None else home / layout.ANALYSES / layout.ATTACK
    check_makable(out / layout.SECTION, "--out")
    card = run.Card(found, attacked, out, seeds=range(options.seeds))
    if options.plan:
        with quiet(), silent(), no_bars_in_files():
            print(planned(card))
        return
    if options.workers == 1:
        with quiet(), silent(), no_bars_in_files():
            run.run(card)
    elif card.waiting():
        work([*words, "--work"], out, options.workers)
    if options.work:
        return
    section = write_card(card, out)
    print(f"\n{section.markdown()}")
    print(f"Open {out / layout.FIGURE_PNG} and {out / layout.SECTION_TEXT}.")
    if home is not None:
        _tell_model_card(add_to_model_card(home, section))


def _is_shared(word: str) -> bool:
    """Whether a word is an option of the config with its value."""
    name, sign, _ = word.partition("=")
    return name.startswith("--") and sign == "=" and ("." in name or name == "--data")


def _configs(paths: Sequence[str]) -> list[str]:
    return [word for path in paths for word in ("-c", path)]


def _home(runs: Sequence[Path | None]) -> Path:
    """The folder of the run that the card is of."""
    if len(runs) > 1 or runs[0] is None:
        raise InputError("attack: the card is not that of one run, in whose folder it could be; give one after --out")
    return runs[0]


def _tell_model_card(path: Path | None) -> None:
    print("The export has no model card for the table." if path is None else f"The table is in {path} too.")


def _check_drawing() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("attack: matplotlib is not installed; pip install 'lit-unlearn[report]'") from error


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="lit-unlearn attack",
        description="A card of attacks: whether models stay unlearned, and usable, once people round, prune, merge or "
        "fine-tune them or change the prompts. What is done is kept and not run again. All other options are those of "
        "the config, written --KEY=VALUE: --data.batch_size=2, --trainer.accelerator=cpu.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="RUN_OR_MODEL",
        help="folder of a finished run, a model's folder, demo, or a hub name; several share a card",
    )
    parser.add_argument(
        "-c", "--config", action="append", default=[], metavar="CONFIG", help="data and attacks, such as attack.yaml"
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the card: new, or one to resume (default: RUN/analysis/attack-card)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these attacks of the config")
    parser.add_argument("--full", action="store_true", help="the larger grids too, the config's full_attacks")
    parser.add_argument(
        "--base", metavar="MODEL", help="the model before unlearning (default: what the run began with)"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1 of what is drawn (default: 1)"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes at a time (default: 1)")
    parser.add_argument("--plan", action="store_true", help="print what the rest would cost, and run nothing")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)  # of a process of --workers
    return parser
