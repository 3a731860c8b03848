"""`--model PATH` of `validate` and `test`: a model evaluated alone, instead of the config's `model` section."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError

_KEY = "model"
_LOSSES = ("forget", "retain")


def alone(words: Words) -> Words | None:
    """The words of an evaluation without losses, its model among them as `--model.OPTION=VALUE`.

    With `--model PATH` nothing is left of the files' `model` sections. Without it, an evaluation whose `model` section
    names no loss has that section's options, so that the `config.yaml` of a run repeats it.

    Args:
        words: of `validate` or `test`.

    Returns:
        None where losses are named: they can be evaluated too.

    Raises:
        InputError: `--model` is given twice, without a value or beside `--model.pretrained`, or there is no config.
    """
    path = _given(words)
    options: Mapping[str, Any] = {"pretrained": path} if path else words.section(_KEY)
    if path is None and (set(_LOSSES) & options.keys() or words.has(*(f"{_KEY}.{name}" for name in _LOSSES))):
        return None
    _check_config(words)
    return words.with_model(options)


def check_none(words: Words) -> None:
    """`--model` names no model where one is trained.

    Raises:
        InputError: it does.
    """
    for path in words.values(_KEY)[:1]:
        if path is None or not Path(path).is_file():
            raise InputError(
                f"--{_KEY}: replaces the config's model section in validate and test; to train another "
                f"model, give --model.pretrained {path or 'PATH'}"
            )


def _given(words: Words) -> str | None:
    """The one value of `--model`, if it is given."""
    values = words.values(_KEY)
    if not values:
        return None
    if len(values) > 1:
        given = ", ".join(value or "" for value in values)
        raise InputError(f"--{_KEY}: given {len(values)} times ({given}); evaluate one model per run")
    if not values[0] or values[0].startswith("-"):
        raise InputError(f"--{_KEY}: no value given; write a folder, the name of a hub model or `demo` after it")
    if words.has(f"{_KEY}.pretrained"):
        raise InputError(f"--{_KEY}: {values[0]} and --model.pretrained name a model each; give one of the two")
    return values[0]


def _check_config(words: Words) -> None:
    """There is a config, or the data is named, or the words only ask for help."""
    if not words.has("config", "data", "h", "help", "print_config"):
        raise InputError(
            f"{words.command}: no questions; name a config after -c, such as evaluate.yaml (MMLU and WMDP) or "
            "demo.yaml (the demo world)"
        )
