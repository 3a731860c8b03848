from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lit_unlearn import InputError
from lit_unlearn.commands.report.included_analyses import find
from lit_unlearn.commands.report.runs import load
from lit_unlearn.commands.report.section import Section, write_section
from tests.commands.report.made import BASE, evaluation, write_run

AFTER = evaluation(9, forget=25, retain=97, perturbed=50, control=93)


def section(folder: Path, title: str, *, figure: bool = False) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    drawn = Figure(figsize=(2, 2)) if figure else None
    if drawn:
        drawn.subplots().set_title("Some title")
    write_section(folder, Section(title, "One\nline.\n\nAnother.", ["model", "mean"], [["rmu", "9.1"]]), drawn)
    return folder


def test_those_of_the_runs_come_first_then_those_asked_for(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "rmu" / f"seed-{seed}", BASE, AFTER)
    section(tmp_path / "rmu" / "seed-1" / "analysis" / "theory", "Of a seed")
    own = section(tmp_path / "rmu" / "analysis" / "maxlogit", "Of all seeds")
    asked = section(tmp_path / "elsewhere", "Asked for")
    found = find(load([str(tmp_path / "rmu")]), [asked, own, asked])
    assert [one.title for one in found] == ["Of all seeds", "Of a seed", "Asked for"]
    assert found[0].paragraphs == ["One line.", "Another."]
    assert found[0].table.rows == [("rmu", ["9.1"])]
    assert found[0].svg is None


def test_a_figure_keeps_its_text_as_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "rmu", BASE, AFTER)
    section(tmp_path / "rmu" / "analysis" / "maxlogit", "MaxLogit", figure=True)
    (found,) = find(load([run]), [])
    assert found.svg is not None
    assert b">Some title</text>" in found.svg


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("section.json", "{", "section.json is not a section"),
        ("section.json", '{"name": 1}', "section.json is not a section"),
        ("figure.svg", "<svg>", "figure.svg is not an SVG .* run `lit-unlearn analyse` again"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, file: str, content: str, message: str) -> None:
    run = write_run(tmp_path / "rmu", BASE, AFTER)
    folder = section(tmp_path / "elsewhere", "Asked for", figure=True)
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message):
        find(load([run]), [folder])
