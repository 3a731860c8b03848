"""Docstrings as mkdocstrings reads them: here `Example:` has doctests, there they are called `Examples:`."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):  # type: ignore[misc, unused-ignore]  # without the extra docs it is Any
    """Shows doctests as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section of an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
