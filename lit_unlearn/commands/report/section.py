"""A part of a report: what an analysis found, as text, a table and a figure, kept in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs.atomic_files import appearing_whole, write_whole
from lit_unlearn.runs.tables import markdown_table


@dataclass(frozen=True)
class Section:
    """Texts are plain: whoever renders them escapes what comes from data."""

    title: str
    text: str
    """What was measured, how to read it, and its source; paragraphs between empty lines."""
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    """Cells as they are shown."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """The same and more, unrounded."""

    def markdown(self) -> str:
        """Title, text and table."""
        return "\n".join([f"## {self.title}", "", self.text, "", markdown_table(self.columns, self.rows), ""])


def write_section(folder: Path, section: Section, figure: Any = None) -> None:
    """Writes section.json, section.md and, given a matplotlib figure, figure.png and figure.svg; all or nothing.

    Raises:
        InputError: the folder exists already.
    """
    if folder.exists():
        raise InputError(f"{folder} exists already; give another folder, or remove it")
    with appearing_whole(folder) as partial:
        rewrite_section(partial, section, figure)


def rewrite_section(folder: Path, section: Section, figure: Any = None) -> None:
    """As `write_section`, into a folder that exists and may hold other files and an older section.

    Each file is replaced as a whole; the checksums, last, are of all files of the folder.
    """
    _check(section)
    write_whole(folder / layout.SECTION, json.dumps(asdict(section), indent=1))
    write_whole(folder / layout.SECTION_TEXT, section.markdown())
    if figure is not None:
        _write_figure(folder, figure)
    checksums.write_checksums(folder)


def read_section(folder: Path) -> Section:
    """The section of a folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = folder / layout.SECTION
    if not path.is_file():
        raise InputError(f"{folder} holds no {layout.SECTION}; give folders that `lit-unlearn analyse` wrote")
    try:
        found = Section(**json.loads(path.read_text(encoding="utf-8")))
        _check(found)
        return found
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not a section ({error}); run `lit-unlearn analyse` again") from error


def _check(section: Section) -> None:
    texts = [section.title, section.text, *section.columns, *(cell for row in section.rows for cell in row)]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("it holds other things than texts")
    if any(len(row) != len(section.columns) for row in section.rows):
        raise ValueError("its rows do not fit its columns")


def _write_figure(folder: Path, figure: Any) -> None:
    from lit_unlearn.commands.report.style import encoded  # only who draws needs matplotlib

    write_whole(folder / layout.FIGURE_PNG, encoded(figure, "png"))
    write_whole(folder / layout.FIGURE_SVG, encoded(figure, "svg"))
