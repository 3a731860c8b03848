"""Objects that show how they were made."""

import inspect
from collections.abc import Mapping
from typing import Any


class Shown:
    """Its repr is the call that makes such an object: the arguments that differ from their defaults.

    An argument is looked for in the attribute of its name; one that is kept otherwise is in `_arguments`.

    Example:
        >>> class Noise(Shown):
        ...     def __init__(self, scale: float, *, layer: int = 7) -> None:
        ...         self.scale, self.layer = scale, layer
        >>> Noise(0.03), Noise(0.03, layer=3)
        (Noise(scale=0.03), Noise(scale=0.03, layer=3))
    """

    def __repr__(self) -> str:
        values, parameters = self._arguments(), inspect.signature(type(self)).parameters
        given = [(name, values[name], one.default) for name, one in parameters.items() if name in values]
        # An empty value instead of None is nothing that anyone has given.
        shown = [f"{name}={own!r}" for name, own, usual in given if own != usual and (own or usual)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _arguments(self) -> Mapping[str, Any]:
        """The constructor's arguments by name."""
        return vars(self)
