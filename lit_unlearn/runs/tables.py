"""Tables as text: of markdown, and aligned for a terminal."""

from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, escaped: bool = False) -> str:
    r"""A table of markdown, without a newline at its end.

    Args:
        head: names of the columns, which may all be empty.
        rows: as many cells each as the table has columns.
        escaped: the cells are markdown already; else `|` is escaped, and a cell of several lines becomes one line.

    Example:
        >>> print(markdown_table(["name", "value"], [["a|b", "1"], ["c", ""]]))
        | name | value |
        | --- | --- |
        | a\|b | 1 |
        | c |  |
        >>> print(markdown_table(["", ""], [["a", "1"]]))
        | | |
        | --- | --- |
        | a | 1 |
    """
    first = _line(head, escaped) if any(head) else "| " * len(head) + "|"
    return "\n".join([first, _line(["---"] * len(head), True), *(_line(row, escaped) for row in rows)])


def aligned(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell, two spaces apart.

    Args:
        rows: as many cells each.
        numbers: all columns but the first are aligned at their right side, else at their left.

    Example:
        >>> aligned([["name", "value"], ["loss", "1"]], numbers=True)
        ['name  value', 'loss      1']
        >>> aligned([["name", "value"], ["loss", "1"]])
        ['name  value', 'loss  1']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.rjust if numbers and column else str.ljust for column in range(len(widths))]
    padded = ([side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def _line(cells: Sequence[str], escaped: bool) -> str:
    plain = cells if escaped else [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(plain)} |"
