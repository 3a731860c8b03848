"""The command line: a thin dispatcher that imports what a command needs and no more."""

import difflib
import sys
from collections.abc import Callable, Sequence

from lit_unlearn import shipped
from lit_unlearn.errors import InputError

USAGE = """\
usage: lit-unlearn COMMAND [options]

Unlearning in causal language models that stay usable afterwards.

commands:
  fit        unlearn: lit-unlearn fit -c rmu.yaml
  validate   losses on held-out rows (data.holdout), without training
  test       the same, logged under test/
  configs    list the shipped configs
  report     one table and one figure of finished runs: lit-unlearn report RUN...

options:
  --debug    show the traceback of an error
  --version  show the version
  -h, --help show this help; `lit-unlearn fit --help` lists all options of fit
"""


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
        args: the words after `lit-unlearn`; None takes the process's own.

    Raises:
        SystemExit: with status 2 after a one-line error; only mistakes of ours have a traceback. When interrupted, with
            130, and in training, which Lightning ends itself, with 1.
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        _run(words)
    except InputError as error:
        if debug:
            raise
        print(f"lit-unlearn: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("lit-unlearn: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
    elif words[0] == "--version":
        from importlib.metadata import version

        print(f"lit-unlearn {version('lit-unlearn')}")
    elif words[0] in _COMMANDS:
        _COMMANDS[words[0]](words)
    else:
        near = difflib.get_close_matches(words[0], _COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(_COMMANDS)}"
        raise InputError(f"{words[0]!r} is not a command; {hint}")


def _train(words: list[str]) -> None:
    resolved = shipped.resolve(words)  # before the import, which takes seconds
    from lit_unlearn.trainer_cli import run

    run(resolved)


def _report(words: list[str]) -> None:
    from lit_unlearn.report import main as report

    report(words[1:])


def _configs(words: list[str]) -> None:
    if words[1:]:
        raise InputError(f"configs: takes no options, got {words[1]!r}")
    for name, title in shipped.titles().items():
        print(f"{name:24} {title}")


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "fit": _train,
    "validate": _train,
    "test": _train,
    "configs": _configs,
    "report": _report,
}
