from pathlib import Path

import pytest

from lit_unlearn.commands.report.grid import accuracies, commonest_letters, of_panel, plain
from lit_unlearn.commands.report.repair import compare
from lit_unlearn.commands.report.runs import load
from lit_unlearn.commands.report.series import over_steps
from tests.commands.report.made import BASE, asked, evaluation, forgetting, held_out, write_run

RMU = evaluation(9, forget=25, retain=97, perturbed=50, control=93)


def test_a_perturbation_and_its_control_stand_together(tmp_path: Path) -> None:
    rna = evaluation(9, forget=26, retain=96, perturbed=70, control=92)
    start, after, repaired = (
        held_out(forgetting(record, text), nll, 1.0)
        for record, text, nll in ((BASE, -0.1, 1.0), (RMU, -10, 7.0), (rna, -10, 7.0))
    )
    runs = [
        write_run(tmp_path / name, start, record, forget=["forget"])
        for name, record in (("rmu", after), ("rna", repaired))
    ]
    models = load(runs, method=runs[0])
    (table,) = accuracies(models, compare(models))[:1]
    assert [(group.head, list(group.columns)) for group in table.groups] == [
        ("as asked", ["forget", "retain"]),
        ("forgetting, nats", ["forget: log p text", "NLL: forget rows", "NLL: retain rows"]),
    ]
    assert table.rows[1] == ("rmu", ["25.0 ± 4.4", "97.0 ± 1.7", "−10.00 ± 0.03", "7.00 ± 0.03", "1.00 ± 0.03"])
    (table,) = accuracies(models, compare(models))[1:]
    assert [(group.head, list(group.columns)) for group in table.groups] == [
        ("retain, 1-gram", ["perturbed", "control", "drop beyond control", "repair"]),
    ]
    assert table.rows[1] == ("rmu", ["50.0 ± 5.0", "93.0 ± 2.6", "43.0", ""])
    assert table.rows[2][1][2] == "22.0"
    assert table.rows[2][1][3].startswith("50 % [")
    assert table.classes == ["number first", "number", "number", "number"]


def test_what_was_not_measured_of_one_run_is_a_dash(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / "rmu", forgetting(BASE, -0.1), forgetting(RMU, -10), forget=["forget"]),
        write_run(tmp_path / "old", BASE, RMU, forget=["forget"]),
    ]
    models = load(paths)
    table = accuracies(models, compare(models))[0]
    assert [cells[2] for _, cells in table.rows] == ["−0.10 ± 0.03", "−10.00 ± 0.03", "–"]


def test_without_a_method_nothing_is_repaired(tmp_path: Path) -> None:
    models = load([write_run(tmp_path / name, BASE, RMU) for name in ("rmu", "rna")])
    (table,) = accuracies(models, compare(models))
    assert "repair" not in table.columns


def test_the_commonest_letters_have_a_table_of_their_own(tmp_path: Path) -> None:
    (table,) = commonest_letters(load([write_run(tmp_path / "rmu", BASE, RMU)]))
    assert list(table.columns) == ["forget", "retain", "retain/1-gram", "retain/1-gram/control"]
    assert table.rows[1][1][0] == "A 100 %, collapsed 100 %"


def test_many_perturbations_are_several_tables(tmp_path: Path) -> None:
    names = [f"{n}-gram" for n in (1, 2, 4, 8, 16)]
    right = {"retain": 99, **{f"retain/{name}{end}": 90 for name in names for end in ("", "/control")}}
    models = load([write_run(tmp_path / "rmu", asked(0, right), asked(9, right))])
    tables = accuracies(models, compare(models))
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
        ("−5 % [−40, 12]", True),
        ("+3.1 points [0.5, 5.6]", True),
        ("n/a: forgets less (log p −1.2 against −9.8)", False),
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
