"""Which cases of a test `make test` runs; `make test-slow` runs the others."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], *, every: int = 5) -> list[Any]:
    """The first of every few cases is fast: of many that go one way, so that each part of a table has one."""
    return _marked(cases, lambda number, case: number % every == 0)


def only(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """The chosen cases are fast."""
    held = list(cases)
    missing = [case for case in chosen if case not in held]
    assert not missing, f"no such case: {missing}"
    return _marked(held, lambda number, case: case in chosen)


def _marked(cases: Iterable[Any], fast: Callable[[int, Any], bool]) -> list[Any]:
    return [
        pytest.param(case, marks=() if fast(number, case) else pytest.mark.slow) for number, case in enumerate(cases)
    ]
