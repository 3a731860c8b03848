"""The strongest repair that leaves enough forgotten."""

import math
from collections.abc import Callable


def largest(enough: Callable[[float], bool], *, high: float, low: float, steps: int) -> float:
    """The largest value at which something still holds, by bisection on a logarithmic scale.

    It must hold below some value and not above.

    Args:
        enough: whether it holds at a value.
        high: the largest that is tried, and returned where it holds there.
        low: the smallest above 0 that is tried; where it does not hold there, 0 is returned.
        steps: how often the interval is halved.

    Example:
        >>> round(largest(lambda value: value <= 7, high=1000, low=0.01, steps=12), 1)
        7.0
    """
    if enough(high):
        return high
    if not enough(low):
        return 0.0
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low
