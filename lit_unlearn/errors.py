"""The exceptions for what a user can fix, and the one wording of numbers that are too small."""

import math


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the value, what was expected and the remedy; the command line prints it as one line, and so does a
    notebook, without the calls that led there.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class RunFailed(InputError):
    """A run that had begun could not be finished: not an option that is refused, so other runs may do better.

    On the command line the status is 1.
    """


class Diverged(RunFailed):
    """A run's numbers are no longer finite; the same run would fail again."""


def check_at_least(name: str, value: float | None, least: float) -> None:
    """Checks a number that may be as small as `least`.

    Args:
        name: of the option, as the user writes it.
        value: None, which leaves the option out, is not checked.
        least: the smallest that is allowed.

    Raises:
        InputError: it is smaller, infinite or NaN.

    Example:
        >>> check_at_least("data.batch_size", 0, 1)
        Traceback (most recent call last):
        lit_unlearn.errors.InputError: data.batch_size: must be at least 1, got 0
    """
    if value is not None and not (math.isfinite(value) and value >= least):
        raise InputError(f"{name}: must be at least {least:g}{_finite(value)}, got {value}")


def check_above(name: str, value: float, bound: float, *, unit: str = "") -> None:
    """Checks a number that must be larger than `bound`.

    Args:
        name: of the option, as the user writes it.
        value: the number.
        bound: which is too small itself.
        unit: of the number, for the message.

    Raises:
        InputError: it is not larger, or it is infinite or NaN.

    Example:
        >>> check_above("scale.forget", 0.0, 0, unit="nats")
        Traceback (most recent call last):
        lit_unlearn.errors.InputError: scale.forget: must be above 0 nats, got 0.0
    """
    if not (math.isfinite(value) and value > bound):
        raise InputError(f"{name}: must be above {bound:g}{unit and f' {unit}'}{_finite(value)}, got {value}")


def _finite(value: float) -> str:
    return "" if math.isfinite(value) else " and finite"
