from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.commands.report.perturbations import kinds
from lit_unlearn.commands.report.runs import load
from lit_unlearn.commands.report.series import Panel, over_lengths, over_option, over_shares, over_steps, readable
from tests.commands.report.made import BASE, asked, evaluation, write_run


def after(step: int = 9, perturbed: int = 50, **more: Any) -> dict[str, Any]:
    return evaluation(step, forget=25, retain=97, perturbed=perturbed, control=93) | more


def values(panel: Panel, label: str) -> dict[float, float]:
    (line,) = (line for line in panel.lines if line.label == label)
    return {x: round(one.value, 3) for x, one in line.cells.items()}


def test_steps_are_those_of_all_seeds_and_of_trained_weights(tmp_path: Path) -> None:
    between = after(9, 80, interpolation=0.5)
    write_run(tmp_path / "rmu" / "seed-0", BASE, after(3, 80), after(6, 70), after(9, 60), between)
    write_run(tmp_path / "rmu" / "seed-1", BASE, after(3, 60), after(9, 40))
    (panel,) = over_steps(load([str(tmp_path / "rmu")]))
    assert panel.title == "rmu"
    assert [line.label for line in panel.lines] == ["forget", "retain", "retain/1-gram", "retain/1-gram/control"]
    assert values(panel, "retain/1-gram") == {0: 0.9, 3: 0.7, 9: 0.5}
    # Student's t of 1 degree of freedom: 12.706 * 0.1.
    assert panel.lines[2].cells[9].error == pytest.approx(1.2706, abs=1e-3)


def test_a_run_stands_once_however_often_it_is_chosen_from(tmp_path: Path) -> None:
    run = write_run(tmp_path / "rmu", BASE, after(3, 80), after(9))
    assert [panel.title for panel in over_steps(load([f"{run}@step=3", run]))] == ["rmu"]


def test_a_run_that_was_not_evaluated_on_the_way_has_no_panel(tmp_path: Path) -> None:
    models = load([write_run(tmp_path / "rmu", BASE, after())])
    assert over_steps(models) == over_shares(models) == []


def test_shares_go_from_the_base_to_the_unlearned_model(tmp_path: Path) -> None:
    between = [after(9, 85, interpolation=0.5), after(9, 70, interpolation=0.8)]
    (panel,) = over_shares(load([write_run(tmp_path / "rmu", BASE, after(5, 66), after(), *between)]))
    assert values(panel, "retain/1-gram") == {0: 0.9, 0.5: 0.85, 0.8: 0.7, 1: 0.5}


def sweep(folder: Path, *names: str) -> list[str]:
    return [write_run(folder / name, BASE, after(perturbed=50 + place)) for place, name in enumerate(names)]


def test_a_sweep_is_ordered_by_the_option_that_differs(tmp_path: Path) -> None:
    runs = sweep(tmp_path, "noise_scale=10", "noise_scale=0.5", "noise_scale=1e-1", "rmu")
    found = over_option(load([*runs, f"{runs[0]}@step=9"]))
    assert found is not None
    option, (panel,) = found
    assert option == "noise_scale"
    assert values(panel, "retain/1-gram") == {0.1: 0.52, 0.5: 0.51, 10: 0.5}


def test_of_two_options_the_other_one_names_the_panels(tmp_path: Path) -> None:
    names = [f"layer={layer},noise_scale={noise}" for layer in (1, 2) for noise in (0, 1, 2)]
    found = over_option(load(sweep(tmp_path, *names)))
    assert found is not None
    option, panels = found
    assert option == "noise_scale"
    assert [panel.title for panel in panels] == ["layer = 1", "layer = 2"]
    assert values(panels[1], "retain/1-gram") == {0: 0.53, 1: 0.54, 2: 0.55}


@pytest.mark.parametrize(
    "names",
    [
        ("rmu", "rna"),
        ("noise_scale=1", "rmu"),
        ("noise_scale=1", "layer=2"),
        ("noise_scale=1,layer=1", "noise_scale=2,layer=2"),
        ("coefficient=6.5_9", "coefficient=1_2"),
    ],
)
def test_runs_that_are_no_points_of_a_sweep_have_no_curve(tmp_path: Path, names: tuple[str, str]) -> None:
    assert over_option(load(sweep(tmp_path, *names))) is None


def test_lengths_have_a_panel_of_perturbed_and_one_of_control(tmp_path: Path) -> None:
    counts = {"8-gram": 40, "1-gram": 80, "1-gram most": 9}
    right = {f"retain/{name}{end}": count for name, count in counts.items() for end in ("", "/control")}
    models = load([write_run(tmp_path / "rmu", asked(0, {"retain": 99, **right}), asked(9, {"retain": 97, **right}))])
    perturbed, control = over_lengths(models, kinds(["8-gram", "1-gram", "1-gram most"], {}))
    assert (perturbed.title, control.title) == ("retain: forget text", "retain: retain text (control)")
    assert [line.label for line in perturbed.lines] == ["base", "rmu"]
    assert values(perturbed, "rmu") == {1: 0.8, 8: 0.4}
    assert list(perturbed.lines[0].cells) == [1, 8]


def test_many_perturbations_are_seen_a_few_at_a_time(tmp_path: Path) -> None:
    right = {"retain": 99, **{f"retain/{n}-gram{end}": 90 for n in range(5) for end in ("", "/control")}}
    run = write_run(tmp_path / "rmu", *(asked(step, right) for step in (0, 1, 2)))
    first, second = readable(over_steps(load([run])))
    assert [panel.title for panel in (*first, *second)] == ["rmu", "rmu"]
    assert [line.label for line in first[0].lines] == list(right)[:9]
    assert [line.label for line in second[0].lines] == ["retain", "retain/4-gram", "retain/4-gram/control"]


def test_lines_without_perturbations_are_seen_together(tmp_path: Path) -> None:
    panels = over_steps(load([write_run(tmp_path / "rmu", *(asked(step, {"retain": 9}) for step in (0, 1, 2)))]))
    assert list(readable(panels)) == [panels]
