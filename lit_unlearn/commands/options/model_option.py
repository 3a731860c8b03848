"""`--model PATH` of `validate` and `test`: a model evaluated alone, in the place of the config's `model` section."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_unlearn.commands.options import config_files
from lit_unlearn.errors import InputError

_FLAG = "--model"
_LOSSES = ("forget", "retain")


def alone(words: Sequence[str]) -> list[str] | None:
    """The words of an evaluation without losses, its model among them as `--model.OPTION=VALUE`.

    With `--model PATH` nothing is left of the files' `model` sections. Without it, an evaluation whose `model` section
    names no loss has that section's options, so that the `config.yaml` of a run repeats it.

    Args:
        words: of `validate` or `test`, the names of configs turned into paths.

    Returns:
        None where losses are named: they can be evaluated too.

    Raises:
        InputError: `--model` is given twice, without a value or beside `--model.pretrained`, or there is no config.
    """
    options: Mapping[str, Any] = (
        {"pretrained": path} if (path := _given(words)) else config_files.section(words, "model")
    )
    if path is None and (set(_LOSSES) & options.keys() or any(map(_is_loss, words))):
        return None
    _check_config(words)
    return [words[0], *map(_word, options.items()), *_without_flag(words[1:])]


def check_none(words: Sequence[str]) -> None:
    """`--model` names no model where one is trained.

    Raises:
        InputError: it does.
    """
    path = next(_values(words), None)
    if path is not None and not Path(path).is_file():
        raise InputError(
            f"{_FLAG}: takes the place of the config's model section in validate and test; to train another model, "
            f"give --model.pretrained {path or 'PATH'}"
        )


def _given(words: Sequence[str]) -> str | None:
    """The one value of `--model`, if it is given."""
    values = list(_values(words))
    if not values:
        return None
    if len(values) > 1:
        raise InputError(f"{_FLAG}: given {len(values)} times ({', '.join(values)}); evaluate one model per run")
    if not values[0] or values[0].startswith("-"):
        raise InputError(f"{_FLAG}: no value given; write a folder, the name of a hub model or `demo` after it")
    if any(word.partition("=")[0] == f"{_FLAG}.pretrained" for word in words):
        raise InputError(f"{_FLAG}: {values[0]} and --model.pretrained name a model each; give one of the two")
    return values[0]


def _values(words: Sequence[str]) -> Iterator[str]:
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == _FLAG:
            yield after
        elif word.startswith(f"{_FLAG}="):
            yield word.partition("=")[2]


def _without_flag(words: Sequence[str]) -> list[str]:
    before = ["", *words]
    return [
        word
        for word, previous in zip(words, before, strict=False)
        if _FLAG not in (word, previous) and not word.startswith(f"{_FLAG}=")
    ]


def _is_loss(word: str) -> bool:
    return word.startswith(tuple(f"{_FLAG}.{name}" for name in _LOSSES))


def _word(option: tuple[str, Any]) -> str:
    name, value = option
    return f"{_FLAG}.{name}={value if isinstance(value, str) else json.dumps(value)}"


def _check_config(words: Sequence[str]) -> None:
    """There is a config, or the data is named, or the words only ask for help."""
    enough = ("-c", "--config", "--data", "-h", "--help", "--print_config")
    if not any(word.startswith(enough) for word in words):
        raise InputError(
            f"{words[0]}: no questions; name a config after -c, such as evaluate.yaml (MMLU and WMDP) or demo.yaml "
            "(the demo world)"
        )
