from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from lit_unlearn.commands.report import load
from lit_unlearn.commands.report.forgetting_robustness import Front, Placed, front, fronts
from lit_unlearn.commands.report.table import Cell, cell
from tests.commands.report.made import asked, write_run

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
    perturbed, control = fronts(models)
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
    assert fronts(load([run])) == []


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
