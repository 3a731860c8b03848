"""How numbers of a report are written."""


def rounded(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A number with a minus sign of its width, and never a negative 0.

    Example:
        >>> rounded(-9.84), rounded(-0.04), rounded(3.1, signed=True)
        ('−9.8', '0.0', '+3.1')
    """
    clean = round(value, digits) + 0.0
    return f"{clean:{'+' if signed and clean else ''}.{digits}f}".replace("-", "−")
