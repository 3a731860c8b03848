"""A user's file of options, opened once."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_unlearn.errors import InputError


@dataclass(frozen=True)
class OptionFile:
    """The options of a YAML file."""

    path: str
    content: bytes = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    """Parsed, by section such as `model`."""

    @classmethod
    def read(cls, path: str) -> "OptionFile":
        """Opens a file, parses it and checks that it holds options: jsonargparse's own errors do not name the file.

        Args:
            path: of the file, which exists.

        Raises:
            InputError: it is not YAML, gives an option twice, or holds no options.
        """
        import yaml

        content = Path(path).read_bytes()
        try:
            text = content.decode("utf-8")
            _check_keys(yaml.compose(text, Loader=yaml.SafeLoader), path)
            options = yaml.safe_load(text)
        except RecursionError as error:
            raise InputError(f"--config: {path} is nested too deep; fix the file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            place = f", line {mark.line + 1}" if mark else ""
            raise InputError(
                f"--config: {path}{place}: not YAML ({getattr(error, 'problem', None) or error}); fix the file"
            ) from error
        _check_sections(options, path)
        return cls(path, content, options)

    @property
    def sha256(self) -> str:
        """What tells the file from a changed one."""
        return hashlib.sha256(self.content).hexdigest()

    def without(self, section: str) -> str:
        """The options as YAML but for one section, each value as it is written.

        They are not loaded and dumped: YAML reads `5e-5` as text, jsonargparse as a number.
        """
        import yaml

        node = yaml.compose(self.content.decode("utf-8"), Loader=yaml.SafeLoader)
        assert isinstance(node, yaml.MappingNode)  # by `read`
        node.value = [pair for pair in node.value if pair[0].value != section]
        return str(yaml.serialize(node))


def _check_sections(options: Any, path: str) -> None:
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
