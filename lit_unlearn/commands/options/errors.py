"""jsonargparse's messages of many lines, reduced to the one that helps."""

import difflib
import re
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lit_unlearn.commands.options import suggestions

_KEY = re.compile(r'Parser key "([^"]+)"(?: element \d+)?:')
_LONGEST = 80
"""Characters of a value that are shown."""
_LOOK = "; see the config, or `lit-unlearn fit --help` for what the option takes"
_BY_NAME = ("data.forget", "data.retain", "data.answers")
"""Options that are sources by name."""
_CLASS = re.compile(r"class_path[ =]'([^']+)'")
_INSTEAD_OF_A_CLASS = re.compile(
    r"(class_path '[^']+': .*?) - Expected a <class 'NoneType'> Given value type: <class '[\w.]*NestedArg'> .*"
)
"""The alternative to a class that is chosen, which is none; what is wrong stands before it."""


class _Problem(NamedTuple):
    key: str
    """The option's key as far as the message has it, e.g. `model.forget`; may be empty."""
    text: str
    """The whole message on one line."""
    parser: ArgumentParser


def readable(message: str, parser: ArgumentParser) -> str:
    """One line, `KEY: what is wrong; what was expected`.

    Args:
        message: jsonargparse's own, which goes through every alternative of a union.
        parser: the one that knows the options.
    """
    text = _INSTEAD_OF_A_CLASS.sub(r"\1", " ".join(message.split()))
    keys = list(_KEY.finditer(text))
    # The innermost key comes last; what follows it says what is wrong, before the other alternatives do.
    wrong = text[keys[-1].end() :].strip() if keys else text
    problem = _Problem(".".join(dict.fromkeys(found[1] for found in keys)), text, parser)
    for pattern, explain in _RULES:
        if found := re.search(pattern, wrong):
            return explain(found, problem).removeprefix(": ")
    return f"{problem.key}: {shortened(wrong)}{_LOOK}" if problem.key else f"{shortened(wrong)}{_LOOK}"


def shortened(text: str) -> str:
    """At most 80 characters of a value or a message; of an object the class alone.

    Example:
        >>> shortened("Namespace(class_path='lit_unlearn.RMU', init_args=Namespace(coefficient=6.5))")
        "the options of 'RMU'"
        >>> len(shortened("x" * 1000))
        80
    """
    before, dumped, _ = text.partition("Namespace(")
    if dumped:
        named = re.search(r"class_path='(?:\w+\.)*(\w+)'", text)
        text = before.rstrip("[({'\" ") + (" " if before.strip("[({'\" ") else "")
        text += f"the options of {named[1]!r}" if named else "a mapping of options"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def did_you_mean(word: str, names: Sequence[str], otherwise: str) -> str:
    """The nearest of the names, in upper or lower case, as a question, or the other hint.

    Example:
        >>> did_you_mean("rmuu", ["RMU", "RSV"], "choose another")
        'did you mean RMU?'
    """
    by_letters = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), by_letters, n=1)
    return f"did you mean {by_letters[near[0]]}?" if near else otherwise


def _unknown_key(found: re.Match[str], problem: _Problem) -> str:
    key = found[1].removeprefix("--").partition("=")[0]
    if not found[1].startswith("--") and "unrecognized" in found[0]:
        return f"{found[1]!r} is not an option; options are given as --KEY VALUE or in a file after -c"
    hint = did_you_mean(key, suggestions.keys(problem.parser), "`lit-unlearn fit --help` lists all options")
    return f"{key}: there is no such option; {hint}"


def _unknown_argument(found: re.Match[str], problem: _Problem) -> str:
    option, before = found[1], problem.text[: problem.text.index(found[0])]
    paths = _CLASS.findall(before)[-1:] or _CLASS.findall(problem.text)
    if not paths:
        return f"{problem.key}.{option}: there is no such option"
    names = suggestions.arguments(paths[0])
    has = f"its options are {', '.join(names)}" if names else "it takes none; perhaps another class is meant"
    hint = did_you_mean(option, names, has)
    return f"{problem.key}.{option}: {paths[0].rpartition('.')[2]} has no such option; {hint}"


def _unknown_of_class(found: re.Match[str], problem: _Problem) -> str:
    option, _, rest = found[1].partition(".")
    paths = _CLASS.findall(problem.text)
    if rest and paths and option in suggestions.arguments(paths[-1]):
        return f"{problem.key}.{found[1]}: there is no such option; `lit-unlearn fit --help` lists all options"
    return _unknown_argument(found, problem)


def _missing(found: re.Match[str], problem: _Problem) -> str:
    names = [re.sub(r"^(fit|validate|test)\.", "", name) for name in found[1].split(", ")]
    keys = [f"{problem.key}.{name}" if problem.key else name for name in names]
    return (
        f"{', '.join(keys)}: missing; give {'it' if len(keys) == 1 else 'them'} in a file after -c, or as --{keys[0]}"
    )


def _no_value(found: re.Match[str], problem: _Problem) -> str:
    del problem
    return f"{found[1].rpartition('/')[2].lstrip('-')}: no value given; write it after the option"


def _file_alone(found: re.Match[str], problem: _Problem) -> str:
    path = next(group for group in found.groups() if group)
    if problem.key not in _BY_NAME:
        return f"{problem.key}: {shortened(path)!r} cannot be used; expected options, or a file of them in YAML or JSON"
    return (
        f"{problem.key}: {shortened(path)!r} alone cannot be used; expected sources by name, e.g. --{problem.key} "
        f"'{{NAME: {{path: {path}}}}}'"
    )


def _unknown_class(found: re.Match[str], problem: _Problem) -> str:
    name = next(group for group in found.groups() if group)
    names = suggestions.class_names(problem.parser, problem.key)
    ours = suggestions.class_names(problem.parser, problem.key, within="lit_unlearn.")
    choices = f"choose one of {', '.join(ours)}, or" if ours else "give a mapping of options, or"
    hint = did_you_mean(name.rpartition(".")[2], names, f"{choices} the dotted path of a class that can be imported")
    return f"{problem.key}: there is no class {name!r}; {hint}"


def _other_class(found: re.Match[str], problem: _Problem) -> str:
    ours = suggestions.class_names(problem.parser, problem.key, within="lit_unlearn.")
    return (
        f"{problem.key}: {found[1]} is no {found[2]}; choose {', '.join(ours) or 'another class'}, or one of your own"
    )


def _no_class(found: re.Match[str], problem: _Problem) -> str:
    option, value = found[1], found[2]
    names = suggestions.class_names(problem.parser, problem.key, taking=option)
    example = f", e.g. --{problem.key} {names[0]} --{problem.key}.{option} {value}" if names else ""
    return f"{problem.key}.{option}: no class is chosen that would take it; choose one before{example}"


def _wrong_type(found: re.Match[str], problem: _Problem) -> str:
    types, value = found[1], found[2]
    kinds = [_kind(one) for one in re.split(r", (?![^\[]*\])", types)]
    expected = f"expected {' or '.join(kind for kind in kinds if kind != 'null')}"
    choices = [
        choice for literal in re.findall(r"Literal\[(.*?)\]", types) for choice in re.findall(r"[\w.-]+", literal)
    ]
    hint = did_you_mean(value, choices, expected) if len(choices) > 4 else expected
    value = shortened(value)
    return f"{problem.key}: {repr(value) if _is_plain(value) else value} cannot be used; {hint}"


def _wrong_class(found: re.Match[str], problem: _Problem) -> str:
    return (
        f"{problem.key}: {shortened(found[2])} cannot be used; expected the name of a class ({found[1]}), or a mapping "
        "with it"
    )


def _is_plain(value: str) -> bool:
    """Whether a value is one word or number, not a list or a mapping."""
    return not value.startswith(("[", "{", "the options of ", "a mapping of options"))


def _kind(name: str) -> str:
    """A type as a user says it.

    Example:
        >>> _kind("<class 'int'>"), _kind("typing.Literal['a', 'b']"), _kind("list[x.y.Callback]")
        ('int', "one of 'a', 'b'", 'list[Callback]')
    """
    name = re.sub(r"<class '([\w.]+)'>", r"\1", name)
    name = re.sub(r"(?:\b[a-z_]+\.)+([A-Za-z]\w*)", r"\1", name)
    return re.sub(r"Literal\[(.*?)\]", r"one of \1", name).replace("NoneType", "null")


_END = r"(?:\. Got| - | Given value type|$)"
"""What follows a value: another alternative of the union, or of the one around it."""
_TEXTS = r"\[?'?([^\s']+\.(?:jsonl|json|txt|parquet)(?:\.gz)?)(?='|\s|:|$)"
"""A value that names a file of texts or questions."""
_RULES: list[tuple[str, Callable[[re.Match[str], _Problem], str]]] = [
    (r"(?<=': )unrecognized arguments: --([\w.]+)", _unknown_of_class),
    (r"unrecognized arguments: (\S+)", _unknown_key),
    (r"does not accept option '([^']+)'", _unknown_key),
    (r"Option '([^']+)' is not accepted", _unknown_argument),
    (r"arguments are required: ([\w.]+(?:, [\w.]+)*)", _missing),
    (r"argument (\S+): expected", _no_value),
    (r"NestedArg\(key='([^']+)', val='?(.*?)'?\)", _no_class),
    (
        rf"Expected a <class 'dict'>\. Got value: {_TEXTS}|class_path '{_TEXTS}': No module|sub-config file {_TEXTS}:",
        _file_alone,
    ),
    # Of numbers first: where a class is allowed as well, as for a learning rate, nobody means one.
    (r"Subtypes: \[(<class '(?:float|int|bool)'>.*?)\] Errors: .*?Given value: (.*?)" + _END, _wrong_type),
    (
        r"Expected a dot import path string: (\S+)|class_path '([^']+)': (?:No module|module)|has no attribute '(\w+)'",
        _unknown_class,
    ),
    (r"Import path (\S+) does not correspond to a subclass of (\w+)", _other_class),
    (r"Subtypes: \[(.*?)\] Errors: .*?Given value: (.*?)" + _END, _wrong_type),
    (r"Expected an? ((?:(?!Expected).)*?)\. Got value: (.*?)" + _END, _wrong_type),
    (r"Not a valid subclass of (\w+)\. Got value: (.*?) Subclass types", _wrong_class),
]
