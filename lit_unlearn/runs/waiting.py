"""What a program shows while it works: what takes long, and bars only where someone watches."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lightning.fabric.utilities.rank_zero import rank_zero_only


@contextmanager
def announced(what: str, *, after: float = 2.0) -> Iterator[None]:
    """Prints a line to standard error if what is done within this context takes long; process 0 does.

    Args:
        what: is done, such as "loading gpt2".
        after: seconds.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    timer = threading.Timer(after, lambda: sys.stderr.write(f"lit-unlearn: {what} …\n"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def watched(stream: TextIO) -> bool:
    """Whether a stream is a terminal's or a notebook's, where a bar can move; elsewhere it would fill a file."""
    return stream.isatty() or hasattr(sys, "ps1")
