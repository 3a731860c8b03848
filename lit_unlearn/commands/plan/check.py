"""What a look at this machine says."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from lit_unlearn.errors import InputError


class Check(NamedTuple):
    """One thing that a run needs."""

    name: str
    status: Literal["ok", "note", "fails"]
    found: str
    """What is there."""
    remedy: str = ""
    """What to do where it fails."""


def refused(check: Callable[[], object]) -> Check | None:
    """What `fit` would say at its start; None where it would say nothing.

    Args:
        check: raises InputError with that sentence, `NAME: WHAT IS FOUND; REMEDY`.
    """
    try:
        check()
    except InputError as error:
        name, _, rest = str(error).partition(": ")
        found, _, remedy = rest.partition("; ")
        return Check(name, "fails", found, remedy)
    return None
