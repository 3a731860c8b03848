from lit_unlearn.commands.analysis.drawing import dot_style, panels
from lit_unlearn.commands.report.style import line_style


def test_a_figure_has_panels_in_rows_without_a_frame() -> None:
    figure, axes = panels(3, rows=2, width=2.0, height=1.5)
    assert len(axes) == 6
    assert figure.get_size_inches().tolist() == [6.0, 3.0]
    assert axes[3].get_subplotspec().rowspan.start == 1  # type: ignore[union-attr]
    for one in axes:
        assert [name for name, spine in one.spines.items() if spine.get_visible()] == ["left", "bottom"]


def test_dots_are_coloured_as_lines_and_have_none() -> None:
    for place in range(3):
        assert dot_style(place)["color"] == line_style(place)["color"]
        assert dot_style(place)["linestyle"] == "none"
