"""The analyses that belong to a report: those in its runs' folders, and those that are asked for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from lit_unlearn.commands.report.grid import Table, plain
from lit_unlearn.commands.report.runs import ReportedModel, each_run
from lit_unlearn.commands.report.section import read_section
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout


class Included(NamedTuple):
    """A section and where it is from."""

    title: str
    paragraphs: Sequence[str]
    table: Table
    folder: Path
    svg: bytes | None
    """Its figure, where it has one."""
    markdown: str

    @property
    def label(self) -> str:
        """Text for a reader who cannot see the figure."""
        return f"Figure: {self.title}. The table above has the numbers."


def find(models: Sequence[ReportedModel], include: Iterable[Path]) -> list[Included]:
    """The sections of all `analysis/NAME/` in the folders of runs, or of runs of several seeds, then those included.

    Raises:
        InputError: a folder to include holds no section, or a section cannot be read.
    """
    homes = dict.fromkeys(home for run in each_run(models) for home in (run.path, *run.folders))
    found = [path.parent for home in homes for path in sorted(home.glob(f"{layout.ANALYSES}/*/{layout.SECTION}"))]
    every = {folder.resolve(): folder for folder in (*found, *include)}
    return [_included(folder) for folder in every.values()]


def _included(folder: Path) -> Included:
    section = read_section(folder)
    return Included(
        section.title,
        [" ".join(paragraph.split()) for paragraph in section.text.split("\n\n")],
        plain("", section.columns, section.rows),
        folder,
        _figure(folder / layout.FIGURE_SVG),
        section.markdown(),
    )


def _figure(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    figure = path.read_bytes()
    try:
        ElementTree.fromstring(figure)
    except ElementTree.ParseError as error:
        raise InputError(f"{path} is not an SVG ({error}); run `lit-unlearn analyse` again") from error
    return figure
