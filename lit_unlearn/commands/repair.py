"""`lit-unlearn repair`: a finished run's model, repaired without training, as a run of its own."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lit_unlearn.commands.fit.run import run
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout

_EVALUATING = ("PerturbationRobustness", "LikelihoodRobustness", "AnswerEvaluation")
_EXPORT = "ExportPretrained"
_METHODS = {"closed-form": "ClosedForm", "null-space": "NullSpace"}
_EPILOG = """\
Further options are those of `lit-unlearn fit` and win over the run's own, such as --data.batch_size 2. The folder that
is written is that of a run: `report`, `validate --model FOLDER/export`, `analyse` and `verify` read it.
"""


def main(words: Sequence[str]) -> None:
    """Repairs the model of a finished run, evaluates it next to the base, and exports it.

    Raises:
        InputError: the run, an option or a combination cannot be used.
    """
    options, others = _parser().parse_known_args(words)
    config, export = _found(options.run)
    callbacks = [*_kept(config), _unlearned(export), _repairs(options), {"class_path": _EXPORT}]
    out = options.out or _beside(options.run, options.method)
    with _overlay(callbacks) as overlay:
        given = ["-c", str(options.run / layout.CONFIG), "-c", str(overlay), "--ckpt_path=null"]
        run(Words.read([*given, f"--trainer.default_root_dir={out}", *others], command="fit"))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="lit-unlearn repair",
        description="Repairs the model of a finished run without training, and writes it as a run of its own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished `lit-unlearn fit` with an export")
    parser.add_argument("--with", dest="method", required=True, choices=_METHODS, help="which repair")
    parser.add_argument("--out", type=Path, help="folder to write, new or empty (default: RUN-METHOD)")
    parser.add_argument("--mu", type=float, help="closed-form: weight of retain inputs; 0 changes nothing")
    parser.add_argument(
        "--nll-rise",
        type=float,
        help="closed-form: largest mu that keeps the NLL of held-out forget rows this much higher",
    )
    parser.add_argument(
        "--answer-logprob",
        type=float,
        help="closed-form: largest mu at which right answers are at most this likely (< 0)",
    )
    parser.add_argument("--energy", type=float, help="null-space: share of the retain inputs that is projected off")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the change that is kept before the repair (default: 1, all)"
    )
    parser.add_argument("--rows", type=int, default=512, help="of each stream that are looked at (default: 512)")
    parser.add_argument(
        "--mixing",
        help='of the retain rows, as data.mixing, or null for none (default: "{rate: 1, spans: 4, length: [2, 4, 8]}")',
    )
    return parser


def _found(path: Path) -> tuple[Mapping[str, Any], Path]:
    """The options of a finished run, and its export.

    Raises:
        InputError: it is not one, or has none.
    """
    config = path / layout.CONFIG
    if not config.is_file() or not (path / layout.CHECKSUMS).is_file():
        raise InputError(f"repair: {path} is not a finished run; give the folder of a `lit-unlearn fit` that has ended")
    options: Mapping[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    named = [_arguments(one).get("folder") for one in _callbacks(options) if _name(one) == _EXPORT]
    export = Path(next((folder for folder in named if folder), path / layout.EXPORT))
    if "forget" not in options.get("model", {}) or not export.is_dir():
        raise InputError(
            f"repair: {path} has no unlearned model in {export}; give a run of `lit-unlearn fit` with the callback "
            f"{_EXPORT}"
        )
    return options, export


def _repairs(options: argparse.Namespace) -> dict[str, Any]:
    """The callback that repairs.

    Raises:
        InputError: an option of another repair is given, or one is missing.
    """
    own = {"closed-form": ("mu", "nll_rise", "answer_logprob"), "null-space": ("energy",)}
    given = {name: getattr(options, name) for names in own.values() for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    words = {name: f"--{name.replace('_', '-')}" for names in own.values() for name in names}
    if len(given) != 1 or not given.keys() <= set(own[options.method]):
        wanted = " or ".join(words[name] for name in own[options.method])
        told = " and ".join(words[name] for name in given) or "none"
        raise InputError(
            f"repair: {options.method} takes one of {wanted}, got {told}; give one, e.g. {wanted.split()[0]}"
        )
    repair = {"class_path": _METHODS[options.method], "init_args": {**given, "share": options.share}}
    arguments: dict[str, Any] = {"repairs": [repair], "rows": options.rows, "keep": True}
    if options.mixing is not None:
        arguments["mixing"] = _mixing(options.mixing)
    return {"class_path": "Repairs", "init_args": arguments}


def _mixing(text: str) -> Any:
    """What `--mixing` says.

    Raises:
        InputError: it is not YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(
            f"repair: --mixing {text!r} is not YAML; give e.g. '{{rate: 1, spans: 2, length: 4}}', or null"
        ) from error


def _beside(run_folder: Path, method: str) -> Path:
    """Where the repaired run is written by default."""
    named = run_folder if run_folder.name not in ("", "..") else run_folder.resolve()
    return named.with_name(f"{named.name}-{method}")


def _unlearned(export: Path) -> dict[str, Any]:
    return {"class_path": "UnlearnedWeights", "init_args": {"folder": str(export)}}


def _kept(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The run's own callbacks that evaluate."""
    yield from (one for one in _callbacks(options) if _name(one) in _EVALUATING)


def _callbacks(options: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(options.get("trainer", {}).get("callbacks") or [])


def _name(callback: Mapping[str, Any]) -> str:
    return str(callback.get("class_path")).rpartition(".")[2]


def _arguments(callback: Mapping[str, Any]) -> Mapping[str, Any]:
    return callback.get("init_args") or {}


@contextmanager
def _overlay(callbacks: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """A file of options with these callbacks, which win over the run's own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repair.yaml"
        path.write_text(yaml.safe_dump({"trainer": {"callbacks": [dict(one) for one in callbacks]}}), encoding="utf-8")
        yield path
