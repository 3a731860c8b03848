from pathlib import Path

import pytest

from lit_unlearn.commands.report.grid import accuracies, of_panel, plain
from lit_unlearn.commands.report.runs import load
from lit_unlearn.commands.report.series import over_steps
from tests.commands.report.made import BASE, asked, evaluation, write_run

RMU = evaluation(9, forget=25, retain=97, perturbed=50, control=93)


def test_a_perturbation_and_its_control_stand_together(tmp_path: Path) -> None:
    rna = evaluation(9, forget=26, retain=96, perturbed=70, control=92)
    models = load([write_run(tmp_path / "rmu", BASE, RMU), write_run(tmp_path / "rna", BASE, rna)])
    (table,) = accuracies(models)
    assert [(group.head, list(group.columns)) for group in table.groups] == [
        ("as asked", ["forget", "retain"]),
        ("retain, 1-gram", ["perturbed", "control", "drop beyond control", "recovery"]),
    ]
    assert table.rows[1] == ("rmu", ["25.0 ± 4.4", "97.0 ± 1.7", "50.0 ± 5.0", "93.0 ± 2.6", "43.0", ""])
    assert table.rows[2][1][4] == "22.0"
    assert table.rows[2][1][5].startswith("50 % [")
    assert table.classes == ["number first", "number", "number first", "number", "number", "number"]


def test_one_run_recovers_nothing(tmp_path: Path) -> None:
    (table,) = accuracies(load([write_run(tmp_path / "rmu", BASE, RMU)]))
    assert "recovery" not in table.columns


def test_many_perturbations_are_several_tables(tmp_path: Path) -> None:
    names = [f"{n}-gram" for n in (1, 2, 4, 8, 16)]
    right = {"retain": 99, **{f"retain/{name}{end}": 90 for name in names for end in ("", "/control")}}
    tables = accuracies(load([write_run(tmp_path / "rmu", asked(0, right), asked(9, right))]))
    assert [len(table.columns) for table in tables] == [1 + 2 * 3, 2 * 3, 3]
    assert [table.heads for table in tables] == [["base", "rmu"]] * 3
    assert tables[1].caption == "Accuracy: retain, 4-gram; retain, 8-gram"


def test_a_figure_has_its_numbers(tmp_path: Path) -> None:
    early = evaluation(5, forget=60, retain=98, perturbed=80, control=95)
    (panel,) = over_steps(load([write_run(tmp_path / "rmu", BASE, early, RMU)]))
    table = of_panel(panel, "step")
    assert (table.caption, table.corner, table.heads) == ("rmu", "step", ["0", "5", "9"])
    assert table.rows[1][1][:2] == ["60.0 ± 4.9", "98.0 ± 1.4"]


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0.5", True),
        ("-3", True),
        ("3e-04", True),
        ("50 % [4, 96]", True),
        ("12.0 (13)", True),
        ("25.0 ± 0.1", True),
        ("n/a", True),
        ("–", True),
        ("", True),
        ("2 of 7 layers", False),
        ("0.5, 0.7", False),
        ("32-true", False),
        ("rmu", False),
    ],
)
def test_numbers_are_set_as_such(cell: str, number: bool) -> None:
    assert plain("", ["run", "value"], [["a", "1.0"], ["b", cell]]).classes == ["number" * number]
