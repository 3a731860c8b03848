"""The configs that come with the package, found by name from any directory."""

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lit_unlearn.errors import InputError

_FLAGS = ("-c", "--config")


def folder() -> Path:
    """Where they are: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[2]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def names() -> list[str]:
    """Their names, as `-c` takes them."""
    return sorted(path.relative_to(folder()).as_posix() for path in folder().rglob("*.yaml"))


def scripts() -> list[str]:
    """The names of the scripts that launch a run on several machines."""
    return sorted(path.relative_to(folder()).as_posix() for path in folder().rglob("*.sh"))


def titles() -> dict[str, str]:
    """Each config's and each script's first comment line, by name."""
    lines = {name: text(name).splitlines() for name in [*names(), *scripts()]}
    return {name: next(line for line in first if line.startswith("# ")).lstrip("# ") for name, first in lines.items()}


def text(name: str) -> str:
    """A shipped config or script.

    Raises:
        InputError: there is none of that name.
    """
    shipped = [*names(), *scripts()]
    if name not in shipped:
        near = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {near[0]}?" if near else "`lit-unlearn configs` lists them"
        raise InputError(f"configs: there is no shipped file {name!r}; {hint}")
    return (folder() / name).read_text(encoding="utf-8")


def resolve(words: Sequence[str]) -> list[str]:
    """The words of a command line with the names after `-c` and `--config` turned into paths.

    A file of that name in the working directory wins.

    Raises:
        InputError: there is neither a file nor a shipped config of a name, or it holds no options.
    """
    return [word if file is None else word + _path(file) for word, file in _files(words)]


def section(words: Sequence[str], name: str) -> dict[str, Any]:
    """One section of the files that a resolved command line names; of two values of an option the later file's.

    Args:
        words: as `resolve` returns them.
        name: a section of options, such as `model`.
    """
    files = [file for _, file in _files(words) if file is not None]
    return {key: value for file in files for key, value in _read(file).get(name, {}).items()}


def without(path: str, name: str) -> str:
    """The options of a file as YAML, but for one section."""
    import yaml

    # Not loaded and dumped: every value stays as it is written.
    node = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode)  # by `resolve`
    node.value = [pair for pair in node.value if pair[0].value != name]
    return str(yaml.serialize(node))


def _files(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Each word, as far as it is no file's name, and the name if there is one."""
    for before, word in zip(["", *words], words, strict=False):
        flag, equals, value = word.partition("=")
        if before in _FLAGS:
            yield "", word
        elif equals and flag in _FLAGS:
            yield f"{flag}=", value
        else:
            yield word, None


def _path(name: str) -> str:
    if os.path.isfile(name):  # which takes a name that is too long as well
        _check(name)
        return name
    if name in names():
        return str(folder() / name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else "`lit-unlearn configs` lists the shipped ones"
    raise InputError(f"--config: there is no file {name!r} and no shipped config of that name; {hint}")


def _check(path: str) -> None:
    """The file is one of options: jsonargparse's own errors do not name it."""
    options = _read(path)
    if not isinstance(options, dict):
        raise InputError(f"--config: {path} holds no options; expected lines such as `model:`, see a shipped config")
    for section in ("model", "trainer"):
        if not isinstance(options.get(section, {}), dict):
            raise InputError(f"{section}: {options[section]!r} in {path} cannot be used; expected a mapping of options")


def _check_keys(node: Any, path: str) -> None:
    """No option is given twice in one mapping, of which YAML would take the last without a word."""
    pairs = node.value if getattr(node, "id", "") == "mapping" else []
    names = [key.value for key, _ in pairs if key.id == "scalar"]
    twice = next((key for place, (key, _) in enumerate(pairs) if key.value in names[:place]), None)
    if twice is not None:
        line = twice.start_mark.line + 1
        raise InputError(f"--config: {path}, line {line}: {twice.value!r} is given a second time; keep one of the two")
    for _, value in pairs:
        _check_keys(value, path)


def _read(path: str) -> Any:
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        _check_keys(yaml.compose(text, Loader=yaml.SafeLoader), path)
        return yaml.safe_load(text)
    except RecursionError as error:
        raise InputError(f"--config: {path} is nested too deep; mend the file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise InputError(
            f"--config: {path}{place}: not YAML ({getattr(error, 'problem', None) or error}); mend the file"
        ) from error
