"""`lit-unlearn completion`: what a shell may offer for the word that is being typed.

argcomplete would build the parser of a command at each press of Tab, which imports torch; shtab would add an option to
every parser where it is installed, and its scripts do not know a file of the working directory. The packaged help has
all options already.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lit_unlearn.commands import help_texts
from lit_unlearn.commands.options import config_files
from lit_unlearn.errors import InputError

_FUNCTION = """\
_lit_unlearn() {
  local IFS=$'\\n'
  COMPREPLY=($(lit-unlearn completion words "${COMP_WORDS[@]:1:$COMP_CWORD}" 2>/dev/null))
}
complete -o default -o bashdefault -F _lit_unlearn lit-unlearn
"""
SCRIPTS = {
    "bash": _FUNCTION,
    "zsh": f"autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{_FUNCTION}",
    "fish": """\
complete -c lit-unlearn -a '(lit-unlearn completion words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}
"""By the name of the shell. Where nothing is offered, bash and zsh offer files, as fish always does."""
_OF_FIT = (
    *("sweep", "scale", "plan", "forget-tokens", "alternatives", "analyse", "validate", "test"),
    "repair",
)
"""Commands that take the options of `fit` too, or most of them."""
_OPTION = re.compile(r"^  (?:-\w(?: \w+)?, )?(--[\w.-]+)", re.MULTILINE)
_CHOICES = re.compile(r"\{([\w,.-]+)\}")
_CLASSES = re.compile(r"classes: ([\w, ]+)\)")
_CONFIG = ("-c", "--config")


def main(words: Sequence[str], commands: Sequence[str]) -> None:
    """Prints a shell's script, or what may stand for the last word.

    Args:
        words: the shell's name; or `words` and the words typed so far, the last of which may be empty.
        commands: of lit-unlearn.

    Raises:
        InputError: it is no shell that is known.
    """
    if words[:1] == ["words"]:
        print("\n".join(candidates(words[1:], commands)))
    elif len(words) == 1 and words[0] in SCRIPTS:
        print(SCRIPTS[words[0]], end="")
    else:
        raise InputError(
            f"completion: expected bash, zsh or fish, got {' '.join(words) or 'nothing'}; `lit-unlearn completion "
            "--help` says where the script goes"
        )


def candidates(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """What may stand for the last word; nothing where a file or a text of the user's own is expected.

    Args:
        words: after `lit-unlearn`, up to the one that is being typed; bash has `=` as a word of its own.
        commands: of lit-unlearn.

    Example:
        >>> candidates(["pl"], ["fit", "plan"])
        ['plan']
        >>> candidates(["fit", "-c", "trainer/fsdp2"], ["fit"])
        ['trainer/fsdp2.yaml']
        >>> candidates(["fit", "--model.noise_unit", "=", "r"], ["fit"])
        ['rms']
    """
    *before, typed = words or [""]
    if typed == "=":
        before, typed = [*before, "="], ""
    if before[-1:] == ["="]:
        before = before[:-1]
    return sorted({one for one in _offered(before, typed, commands) if one.startswith(typed)})


def _offered(before: Sequence[str], typed: str, commands: Sequence[str]) -> Iterator[str]:
    if not before:
        yield from commands
    elif before[-1] in _CONFIG:
        yield from config_files.names()
        yield from _local_configs(typed)
    elif before == ["configs"]:
        yield from [*config_files.names(), *config_files.scripts()]
    elif before == ["analyse"]:
        yield from (name.partition("-")[2] for name in _texts("analyse-"))
    elif before == ["completion"]:
        yield from SCRIPTS
    elif typed.startswith("-"):
        yield from _with_values(_options(before), typed)
    else:
        yield from _options(before).get(before[-1], ())


def _with_values(options: Mapping[str, Sequence[str]], typed: str) -> Iterator[str]:
    """The options; or, once `--OPTION=` is typed as one word, that with each of its values."""
    yield from options
    option, equals, _ = typed.partition("=")
    yield from (f"{option}={value}" for value in options.get(option, ()) if equals)


def _local_configs(typed: str) -> list[str]:
    """Files and folders of the working directory."""
    pattern = re.sub(r"[^\w./-]", "?", typed)
    found = Path().glob(f"{pattern}*") if not typed.startswith(("/", "-")) else []
    return [f"{path}/" if path.is_dir() else str(path) for path in found if path.is_dir() or path.suffix == ".yaml"]


def _texts(prefix: str) -> list[str]:
    """Names of the packaged help texts."""
    return [path.stem for path in help_texts.FOLDER.glob(f"{prefix}*.txt")]


def _options(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The options of a command, each with the values that its help lists.

    The help is read whatever versions are installed: an option more or less does no harm here.
    """
    names = [words[0], *([f"analyse-{words[1]}"] if words[0] == "analyse" and words[1:] else [])]
    found: dict[str, tuple[str, ...]] = {}
    for name in [*names, *(["fit"] if words[0] in _OF_FIT else [])]:
        path = help_texts.FOLDER / f"{name}.txt"
        if name in _texts(name) and path.is_file():
            found = {**_read(path.read_text(encoding="utf-8")), **found}
    return found


def _read(text: str) -> dict[str, tuple[str, ...]]:
    """The options of a help text with their values."""
    starts = [*_OPTION.finditer(text)]
    ends = [*(start.start() for start in starts[1:]), len(text)]
    return {start[1]: _values(text[start.end() : end]) for start, end in zip(starts, ends, strict=True)}


def _values(text: str) -> tuple[str, ...]:
    """What an option's help lists: choices in braces, or classes."""
    choices, classes = _CHOICES.match(text.lstrip()), _CLASSES.search(" ".join(text.split()))
    if choices:
        return tuple(choices[1].split(","))
    return tuple(classes[1].split(", ")) if classes else ()
