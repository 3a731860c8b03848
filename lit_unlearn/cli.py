"""The command line: a thin dispatcher that imports what a command needs and no more."""

import difflib
import gc
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from lit_unlearn.commands.help_texts import help_text
from lit_unlearn.commands.options import config_files, model_option
from lit_unlearn.commands.options.words import Words, take_flag
from lit_unlearn.errors import InputError, RunFailed
from lit_unlearn.runs.credentials import masked

USAGE = """\
usage: lit-unlearn COMMAND [options]

Unlearning in causal language models that stay usable afterwards.

commands:
  fit            unlearn: lit-unlearn fit -c rmu.yaml
  validate       evaluate a model, without training: lit-unlearn validate --model PATH -c evaluate.yaml
  test           the same, logged under test/
  eval           any task of the lm-eval harness: lit-unlearn eval --model PATH --tasks wmdp_bio,mmlu_perturbed
  tasks-path     the folder of the harness tasks that come with the package, for lm_eval --include_path
  configs        list the shipped configs and scripts, or show one: lit-unlearn configs launch/slurm.sh
  forget-tokens  n-grams that perturb, by their similarity to their document: lit-unlearn forget-tokens -c rmu.yaml
  alternatives   other answers to forget questions, for AltPO: lit-unlearn alternatives -c CONFIG --out FILE
  plan           memory, time and what will fail here, before a fit: lit-unlearn plan -c rmu.yaml
  scale          settings that fit a model and its texts: lit-unlearn scale -c local.yaml
  sweep          a fit for each of many points: lit-unlearn sweep -c CONFIG --over OPTION=V1,V2 --out FOLDER
  attack         whether a model stays unlearned and usable once it is changed: lit-unlearn attack RUN -c attack.yaml
  repair         a finished run's model, repaired without training: lit-unlearn repair RUN --with closed-form --mu 5
  analyse        theory and finished runs: lit-unlearn analyse maxlogit RUN..., and more by `lit-unlearn analyse -h`
  ask            base and unlearned model side by side, in the terminal: lit-unlearn ask RUN --prompt TEXT
  verify         check runs and exports for changes, and compute results again: lit-unlearn verify FOLDER...
  report         one page of finished runs, with tables and figures: lit-unlearn report --method RUN RUN...
  env            versions, devices and settings, for a bug report: lit-unlearn env
  completion     makes a shell complete commands, options and configs: lit-unlearn completion bash

options:
  --debug        show the traceback of an error
  --version      show the version
  -h, --help     show this help; `lit-unlearn fit --help` lists all options of fit
"""

USAGES = {
    "tasks-path": """\
usage: lit-unlearn tasks-path

Prints the folder of the harness tasks that come with the package: lm_eval --include_path $(lit-unlearn tasks-path) ...
""",
    "configs": """\
usage: lit-unlearn configs [NAME]

Lists the shipped configs and scripts with what each is for, or prints one: lit-unlearn configs rmu.yaml
""",
    "env": """\
usage: lit-unlearn env

Prints versions, devices and settings, for a bug report. No path, no name of the machine or user and no token is among
them.
""",
    "completion": """\
usage: lit-unlearn completion SHELL

Prints a script that lets a shell complete commands, options, their values and names of configs; SHELL is bash, zsh or
fish:

  bash   lit-unlearn completion bash >> ~/.bashrc
  zsh    lit-unlearn completion zsh >> ~/.zshrc
  fish   lit-unlearn completion fish > ~/.config/fish/completions/lit-unlearn.fish

The scripts ask `lit-unlearn completion words WORD...`, which prints what may stand for the last word, without importing
torch.
""",
}
"""Of the commands that have no options."""

BROKEN_PIPE = 141
"""The status of a command whose reader has gone, as a shell has it: 128 + SIGPIPE."""


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command.

    Args:
        args: the words after `lit-unlearn`; None takes the process's own.

    Raises:
        SystemExit: with status 2 after a one-line error, also of a file that cannot be read or written, and with 1
            where a run had begun; only mistakes of ours have a traceback. When interrupted, with 130; a fit that
            SIGTERM ends, with 143; one whose reader has gone, as of `| head -1`, with 141.
    """
    debug, words = take_flag(sys.argv[1:] if args is None else args, "--debug")
    with refusals("lit-unlearn", debug=debug):
        _run_flushed(words)


@contextmanager
def refusals(command: str, *, debug: bool = False) -> Iterator[None]:
    """Within this context what a user can fix ends the process with one line on standard error.

    Args:
        command: that is running, which begins the line.
        debug: show the traceback instead.

    Raises:
        SystemExit: as `main` does.
    """
    try:
        yield
    except BrokenPipeError:
        if not _reader_has_gone():  # of another pipe
            raise
        raise SystemExit(BROKEN_PIPE) from None
    except InputError as error:
        if debug:
            raise
        _refuse(command, str(error), status=1 if isinstance(error, RunFailed) else 2)
    except OSError as error:
        if debug or error.filename is None:
            raise
        _refuse(command, f"{error.filename}: {error.strerror}; check the path, its permissions and its disk")
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _run_flushed(words: list[str]) -> None:
    """Runs a command; an error in writing what it has printed is raised here rather than when Python ends."""
    try:
        _run(words)
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _reader_has_gone() -> bool:
    """Whether nobody reads standard output; what is left in its buffer then leads nowhere."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors alone
    gone = bool(output.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _refuse(command: str, reason: str, *, status: int = 2) -> NoReturn:
    print(f"{command}: error: {masked(' '.join(reason.split()))}", file=sys.stderr)
    raise SystemExit(status) from None


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
    elif words[0] == "--version":
        from importlib.metadata import version

        print(f"lit-unlearn {version('lit-unlearn')}")
    elif words[0] in USAGES and {"-h", "--help"} & set(words[1:]):
        print(USAGES[words[0]], end="")
    elif (shown := help_text(words)) is not None:
        print(shown, end="")
    elif words[0] in _COMMANDS:
        _COMMANDS[words[0]](words)
    else:
        near = difflib.get_close_matches(words[0], _COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(_COMMANDS)}"
        raise InputError(f"{words[0]!r} is not a command; {hint}")


@contextmanager
def _imports() -> Iterator[None]:
    """Within this context no garbage is looked for: what imports make stays, and there are millions of objects."""
    if "torch" in sys.modules or not gc.isenabled():  # all is imported already, in a process that is not this command's
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()  # no later search looks at them either
    finally:
        gc.enable()


def _fit(words: list[str]) -> None:
    given = Words.read(words)  # before the import, which takes seconds
    model_option.check_none(given)
    with _imports():
        from lit_unlearn.commands.fit.run import run

    run(given)


def _evaluate(words: list[str]) -> None:
    given = Words.read(words)
    alone = model_option.alone(given)
    with _imports():
        from lit_unlearn.commands.fit.run import run

    run(given if alone is None else alone, alone=alone is not None)


def _report(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.report import main as report

    report(words[1:])


def _analyse(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.analysis import main as analyse

    analyse(words[1:])


def _attack(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.attack import main as attack

    attack(words[1:])


def _sweep(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.sweep import main as sweep

    sweep(words[1:])


def _repair(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.repair import main as repair

    repair(words[1:])


def _scale(words: list[str]) -> None:
    try:
        with _imports():
            from lit_unlearn.commands.scale import main as scale
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise InputError("scale: matplotlib is not installed; pip install 'lit-unlearn[report]'") from error

    scale(words[1:])


def _plan(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.plan import main as plan

    plan(words[1:], attack=lambda options: _attack(["attack", *options]))


def _harness(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.eval import main as harness

    harness(words[1:])


def _tasks_path(words: list[str]) -> None:
    if words[1:]:
        raise InputError(f"tasks-path: takes no options, got {words[1]!r}")
    from lit_unlearn.harness.tasks import folder

    print(folder())


def _forget_tokens(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.forget_tokens.command import main as forget_tokens

    forget_tokens(words[1:])


def _alternatives(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.alternatives.command import main as alternatives

    alternatives(words[1:])


def _verify(words: list[str]) -> None:
    from lit_unlearn.commands.verify import main as verify

    verify(words[1:], evaluate=lambda options: _evaluate(["validate", *options]))


def _ask(words: list[str]) -> None:
    with _imports():
        from lit_unlearn.commands.ask import main as ask

    ask(words[1:])


def _env(words: list[str]) -> None:
    if words[1:]:
        raise InputError(f"env: takes no options, got {words[1]!r}")
    with _imports():
        from lit_unlearn.commands.env import lines

    print("\n".join(lines()))


def _completion(words: list[str]) -> None:
    from lit_unlearn.commands.completion import main as completion

    completion(words[1:], [*_COMMANDS])


def _configs(words: list[str]) -> None:
    if words[2:]:
        raise InputError(f"configs: takes one name at most, got {words[2]!r} as well")
    if words[1:]:
        print(config_files.text(words[1]), end="")
        return
    titles = config_files.titles()
    width = max(map(len, titles))
    for name, title in titles.items():
        print(f"{name:{width}} {title}")


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "fit": _fit,
    "validate": _evaluate,
    "test": _evaluate,
    "eval": _harness,
    "tasks-path": _tasks_path,
    "configs": _configs,
    "attack": _attack,
    "analyse": _analyse,
    "verify": _verify,
    "report": _report,
    "repair": _repair,
    "plan": _plan,
    "scale": _scale,
    "sweep": _sweep,
    "forget-tokens": _forget_tokens,
    "alternatives": _alternatives,
    "ask": _ask,
    "env": _env,
    "completion": _completion,
}
