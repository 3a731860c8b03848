"""The attack card of a run in the model card of its export, so that who gets the model gets the card."""

from dataclasses import replace
from pathlib import Path

from lit_unlearn.commands.report.section import Section
from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs.atomic_files import write_whole

_BEGIN, _END = "<!-- begin: attack card -->", "<!-- end: attack card -->"


def add_to_model_card(run: Path, section: Section) -> Path | None:
    """Writes the card of one run into its export's model card, at its end or over an earlier one.

    The checksums of export and run have the new file, and stay as they are for all others.

    Args:
        run: folder of a run with an export.
        section: the card, of this run alone.

    Returns:
        The model card; None where the export has none.

    Raises:
        InputError: an earlier card in it has no end.
    """
    path = run / layout.EXPORT / layout.MODEL_CARD
    if not path.is_file():
        return None
    write_whole(path, with_card(path.read_text(encoding="utf-8"), section))
    for folder in (path.parent, run):
        checksums.update(folder, path)
    return path


def with_card(text: str, section: Section) -> str:
    r"""A model card with an attack card, which replaces an earlier one.

    Args:
        text: of the model card.
        section: of one model, whose name is the first column and is left out.

    Raises:
        InputError: the earlier one has no end mark, so that what follows it is not known.

    Example:
        >>> first = with_card("# Model\n", Section("Attack card", "Text.", ["model", "attack"], [["a", "INT8"]]))
        >>> print(first)
        # Model
        <BLANKLINE>
        <!-- begin: attack card -->
        <BLANKLINE>
        ## Attack card
        <BLANKLINE>
        Text.
        <BLANKLINE>
        | attack |
        | --- |
        | INT8 |
        <BLANKLINE>
        <!-- end: attack card -->
        <BLANKLINE>
        >>> with_card(first, Section("Attack card", "Text.", ["model", "attack"], [["a", "INT8"]])) == first
        True
    """
    own = replace(section, columns=section.columns[1:], rows=[row[1:] for row in section.rows])
    card = f"{_BEGIN}\n\n{own.markdown()}\n{_END}"
    before, begin, rest = text.partition(_BEGIN)
    if begin and _END not in rest:
        raise InputError(f"attack: the model card has {_BEGIN} and no {_END} after it; write that where the card ends")
    return f"{before}{card}{rest.partition(_END)[2]}" if begin else f"{text.rstrip()}\n\n{card}\n"
