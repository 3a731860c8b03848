from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D

from lit_unlearn.commands.report import compare, load
from lit_unlearn.commands.report.cells import Cell, cell
from lit_unlearn.commands.report.forgetting import NLL, TEXT
from lit_unlearn.commands.report.forgetting_robustness import Front, Placed, front, fronts
from tests.commands.report.made import asked, forgetting, held_out, write_run

AT = Placed(Cell(0.25, 0.01), Cell(0.98, 0.05))


def right(forget: int, *perturbed: int) -> dict[str, int]:
    of = {f"retain/{n}-gram": count for n, count in enumerate(perturbed, start=1)}
    return {"forget": forget, "retain": 97, **of, **{f"{variant}/control": 92 for variant in of}}


def test_a_point_is_over_all_perturbations_of_what_is_retained(tmp_path: Path) -> None:
    base, after = (
        asked(0, right(99, 90, 80)),
        asked(9, right(25, 60, 40) | {"forget/stem": 3, "forget/stem/control": 3}),
    )
    base["outcomes"] |= {name: base["outcomes"]["forget"] for name in ("forget/stem", "forget/stem/control")}
    models = load([write_run(tmp_path / "rmu", base, after, forget=["forget"])])
    perturbed, control = fronts(models, compare(models))
    assert perturbed.measure is control.measure is None
    values = [[(point.forget.value, point.kept.value) for point in one.points.values()] for one in (perturbed, control)]
    assert list(perturbed.points) == list(control.points) == ["base", "rmu"]
    assert values[0] == [pytest.approx((0.99, 0.85)), pytest.approx((0.25, 0.5))]
    assert values[1] == [pytest.approx((0.99, 0.92)), pytest.approx((0.25, 0.92))]


def test_a_question_that_is_asked_in_two_ways_is_one_question(tmp_path: Path) -> None:
    base = asked(0, right(99, 50, 50))
    (found, _) = load([write_run(tmp_path / "rmu", base, base)])
    assert cell(found, "retain/1-gram", "retain/2-gram") == cell(found, "retain/1-gram")
    assert cell(found, "retain", "forget").value == 0.98


@pytest.mark.parametrize(("forget", "counts"), [(["forget"], ()), (["another"], (90,)), (None, (90,))])
def test_without_both_sides_there_is_none(tmp_path: Path, forget: list[str] | None, counts: tuple[int, ...]) -> None:
    results: dict[str, Any] = {} if forget is None else {"forget": forget}
    run = write_run(tmp_path / "rmu", asked(0, right(99, *counts)), asked(9, right(25, *counts)), **results)
    models = load([run])
    assert fronts(models, compare(models)) == []


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def ys(line: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(line.get_ydata())]


def curve_of(axes: Axes) -> Line2D:
    (line,) = (line for line in axes.lines if len(xs(line)) == 6)
    return line


def measured(tmp_path: Path) -> list[str]:
    """A method with its interpolation curve, a run that has forgotten as much, and one that has forgotten less."""
    start = held_out(forgetting(asked(0, right(99, 90, 80)), -0.2), 1.0, 1.0)

    def after(kept: int, text: float, nll: float, **more: float) -> dict[str, Any]:
        return held_out(forgetting(asked(9, right(25, kept, kept)), text), nll, 1.1) | more

    between = [after(round(90 - 40 * t), -10 * t, 1 + 6 * t, interpolation=t) for t in (0.2, 0.4, 0.6, 0.8)]
    runs = {"rmu": [after(50, -10, 7), *between], "rna": [after(60, -10, 7)], "half-lr": [after(70, -3, 2)]}
    return [write_run(tmp_path / name, start, *records, forget=["forget"]) for name, records in runs.items()]


def test_forgetting_is_log_p_and_marks_beside_equal_forgetting_are_hollow(tmp_path: Path) -> None:
    runs = measured(tmp_path)
    models = load(runs, method=runs[0])
    panels = fronts(models, compare(models))
    figure = front(panels)
    assert figure.get_supxlabel() == "log p of the right text on questions to forget (nats)"
    for axes, panel in zip(figure.axes, panels, strict=True):
        marks = dict(zip(panel.points, (bars.lines[0] for bars in drawn(axes)), strict=True))
        hollow = {name for name, mark in marks.items() if mark.get_markerfacecolor() == "white"}
        assert hollow == {"base", "half-lr"}
        assert all(mark.get_markerfacecolor() == mark.get_color() for name, mark in marks.items() if name not in hollow)
        assert [xs(mark) for mark in marks.values()] == [pytest.approx([x]) for x in (-0.2, -10, -10, -3)]
        low, high = axes.get_xlim()
        assert low < -10 < -0.2 < high


def test_the_methods_interpolation_curve_goes_from_the_base_to_the_method(tmp_path: Path) -> None:
    runs = measured(tmp_path)
    models = load(runs, method=runs[0])
    axes, control = front(fronts(models, compare(models))).axes
    line = curve_of(axes)
    assert xs(line) == pytest.approx([-0.2, -2, -4, -6, -8, -10])
    assert ys(line) == pytest.approx([85, 82, 74, 66, 58, 50])
    line = curve_of(control)
    assert ys(line) == pytest.approx([92] * 6)


def test_where_forgetting_rises_its_axis_is_turned(tmp_path: Path) -> None:
    runs = measured(tmp_path)
    models = load(runs, method=runs[0])
    axes = front(fronts(models, compare(models, NLL))).axes[0]
    left, right_end = axes.get_xlim()
    assert left > 7 > 1 > right_end


def test_without_a_method_no_mark_is_hollow_and_there_is_no_curve(tmp_path: Path) -> None:
    models = load(measured(tmp_path))
    (panel, _) = fronts(models, compare(models))
    assert panel.measure is TEXT
    assert panel.curve == []
    assert not any(point.hollow for point in panel.points.values())


def test_where_one_run_lacks_the_measure_all_are_placed_by_accuracy(tmp_path: Path) -> None:
    runs = measured(tmp_path)
    plain = write_run(tmp_path / "old", asked(0, right(99, 90, 80)), asked(9, right(25, 60, 60)), forget=["forget"])
    models = load([*runs, plain], method=runs[0])
    panel, _ = fronts(models, compare(models))
    assert panel.measure is None
    assert not any(point.hollow for point in panel.points.values())
    assert [point.forget.value for point in panel.points.values()] == [0.99, 0.25, 0.25, 0.25, 0.25]
    assert front([panel]).get_supxlabel() == "accuracy on questions to forget (%)"


def drawn(axes: Axes) -> list[ErrorbarContainer]:
    return [one for one in axes.containers if isinstance(one, ErrorbarContainer)]


def test_a_label_looks_alike_in_all_panels_and_has_one_legend() -> None:
    figure = front([Front("one", {"a": AT, "b": AT}), Front("two", {"b": AT})])
    colours = [[bars.lines[0].get_color() for bars in drawn(axes)] for axes in figure.axes]
    assert colours[0][1] == colours[1][0] != colours[0][0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_whiskers_end_where_accuracies_do() -> None:
    (bars,) = drawn(front([Front("", {"a": AT})]).axes[0])
    heights = [float(y) for y in bars.lines[2][1].get_segments()[0][:, 1]]
    assert heights == pytest.approx([93, 100])


def test_places_without_a_panel_stay_empty() -> None:
    figure = front([Front(str(number), {"a": AT}) for number in range(5)])
    assert [axes.axison for axes in figure.axes] == [True] * 5 + [False]
