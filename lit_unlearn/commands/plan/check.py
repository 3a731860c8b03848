"""What a look at this machine says."""

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """One thing that a run needs."""

    name: str
    status: Literal["ok", "note", "fails"]
    found: str
    """What is there."""
    remedy: str = ""
    """What to do where it fails."""
