import numpy as np
import pytest

from lit_unlearn.commands.report.cells import Cell
from lit_unlearn.commands.report.curves import curves
from lit_unlearn.commands.report.series import Line, Panel


def panel(*values: float, title: str = "", labels: tuple[str, ...] = ("retain",)) -> Panel:
    return Panel(title, [Line(label, {x: Cell(0.5, 0.1) for x in values}) for label in labels])


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        ((1, 5, 20), "linear", [1, 5, 20]),
        ((1, 2, 40), "log", [1, 2, 40]),
        ((0, 0.01, 0.1, 1), "symlog", [0, 0.01, 0.1, 1]),
        ((-1, 9, 40), "linear", [-1, 9, 40]),
        ((0, 1, 2, 20), "linear", [0, 2, 20]),
    ],
)
def test_the_axis_suits_the_values(values: tuple[float, ...], scale: str, ticks: list[float]) -> None:
    axes = curves([panel(*values)], xlabel="noise_scale", log_above=30).axes[0]
    assert axes.get_xscale() == scale
    assert list(axes.get_xticks()) == ticks
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{tick:g}" for tick in ticks]


def test_a_control_is_the_dashed_line_of_its_perturbation() -> None:
    labels = ("retain", "retain/1-gram", "retain/1-gram/control")
    plain, perturbed, control, *_ = curves([panel(0, 1, labels=labels)], xlabel="step").axes[0].lines
    assert perturbed.get_color() == control.get_color() != plain.get_color()
    assert perturbed.get_marker() == control.get_marker() != plain.get_marker()
    assert (perturbed.get_linestyle(), control.get_linestyle()) == ("-", "--")


def test_a_label_looks_alike_in_all_panels_and_has_one_legend() -> None:
    figure = curves([panel(0, 1, labels=("a", "b")), panel(0, 1, labels=("b",))], xlabel="step")
    assert figure.axes[0].lines[1].get_color() == figure.axes[1].lines[0].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_bands_end_where_accuracies_do() -> None:
    line = Line("retain", {0: Cell(0.99, 0.05), 1: Cell(0.02, 0.05)})
    (band,) = curves([Panel("", [line])], xlabel="step").axes[0].collections
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (0, 100)


def test_places_without_a_panel_stay_empty() -> None:
    figure = curves([panel(0, 1, title=str(number)) for number in range(4)], xlabel="step")
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
