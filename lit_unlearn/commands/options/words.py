"""The words of a command line, read once: its config files, its options and its flags."""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lit_unlearn.commands.options import config_files
from lit_unlearn.commands.options.option_file import OptionFile

_CONFIG = ("-c", "--config")
_TEXTS = ("h", "help", "print_config")
_NUMBER = re.compile(r"-\d|-\.\d")


@dataclass(frozen=True)
class Option:
    """`--KEY VALUE`, `--KEY=VALUE`, a flag, or a word that is no option."""

    words: tuple[str, ...]
    """As they are passed on: one, or the flag and its value."""
    key: str
    """Without dashes, such as `model.layer`; `config` for `-c` too; empty where the word is no option."""
    value: str | None
    """None where none is given."""


@dataclass(frozen=True)
class Words:
    """A command and its options; each config file among them is opened, parsed and checked once."""

    command: str
    """Such as `fit`; empty where there are options alone."""
    options: tuple[Option, ...]
    """In their order; names of shipped configs are paths."""
    files: tuple[OptionFile, ...]
    """Those that `-c` and `--config` name, in their order."""
    typed: tuple[str, ...]
    """The options as they were typed, with names of shipped configs as such."""

    @classmethod
    def read(cls, words: Sequence[str], *, command: str | None = None) -> "Words":
        """Reads words as they are typed.

        A file in the working directory wins over a shipped config of its name.

        Args:
            words: the command first, then options.
            command: where the words are options alone.

        Raises:
            InputError: there is neither a file nor a shipped config of a name, or it holds no options.
        """
        first, *rest = words if command is None else [command, *words]
        options, files = [], []
        for option in _options(rest):
            if option.key == "config" and option.value is not None:
                file = OptionFile.read(config_files.located(option.value))
                option = _option(option.words[0].partition("=")[0], file.path, joined="=" in option.words[0])
                files.append(file)
            options.append(option)
        return cls(first, tuple(options), tuple(files), tuple(rest))

    def __iter__(self) -> Iterator[str]:
        """The words, the command first."""
        yield self.command
        for option in self.options:
            yield from option.words

    def values(self, key: str) -> list[str | None]:
        """The values of an option, each time that it is given."""
        return [option.value for option in self.options if option.key == key]

    @property
    def ask_for_help(self) -> bool:
        """Whether texts about options are asked for: `-h`, `--help`, `--data.help`, `--print_config=comments`."""
        return any(option.key.rpartition(".")[2] in _TEXTS for option in self.options)

    def has(self, *keys: str) -> bool:
        """Whether an option of these is given, or one within them, such as `model.forget.seed` of `model.forget`."""
        return any(option.key == key or option.key.startswith(f"{key}.") for key in keys for option in self.options)

    def section(self, name: str) -> dict[str, Any]:
        """One section of the files, such as `model`; of two values of an option the later file's."""
        return {key: value for file in self.files for key, value in (file.options.get(name) or {}).items()}

    def with_model(self, options: Mapping[str, Any]) -> "Words":
        """These options of the model first, each as `--model.OPTION=VALUE`, and no `--model`."""
        given = [
            _option(f"--model.{name}", value if isinstance(value, str) else json.dumps(value), joined=True)
            for name, value in options.items()
        ]
        return replace(self, options=(*given, *(option for option in self.options if option.key != "model")))


def take_flag(words: Sequence[str], flag: str) -> tuple[bool, list[str]]:
    """Whether a flag of every command is among the words, and the others.

    Example:
        >>> take_flag(["fit", "--debug", "-c", "rmu.yaml"], "--debug")
        (True, ['fit', '-c', 'rmu.yaml'])
    """
    return flag in words, [word for word in words if word != flag]


def _options(words: Sequence[str]) -> Iterator[Option]:
    """Each option with its value, if it has one."""
    left = deque(words)
    while left:
        word = left.popleft()
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            yield Option((word,), "", word)
        elif equals:
            yield _option(flag, value, joined=True)
        elif word.startswith("-c") and word not in _CONFIG:
            yield _option("-c", word.removeprefix("-c"), joined=False)
        elif left and (flag in _CONFIG or _is_value(left[0])):
            yield _option(flag, left.popleft(), joined=False)
        else:
            yield Option((word,), _key(flag), None)


def _option(flag: str, value: str, *, joined: bool) -> Option:
    return Option((f"{flag}={value}",) if joined else (flag, value), _key(flag), value)


def _key(flag: str) -> str:
    return "config" if flag in _CONFIG else flag.lstrip("-")


def _is_value(word: str) -> bool:
    return not word.startswith("-") or _NUMBER.match(word) is not None
