import torch
from matplotlib.patches import Rectangle

from lit_unlearn.commands.analysis.strays.accuracy import accuracy, planted
from lit_unlearn.commands.analysis.strays.figure import draw
from lit_unlearn.commands.analysis.strays.scores import all_scores, measured
from tests.commands.analysis.strays.made import made


def test_it_has_curves_and_a_histogram_of_each_class_with_the_listed_rows() -> None:
    rows = made(90, apart=3.0)
    labels = rows.labels.clone()
    labels[:3] = (labels[:3] + 1) % 3
    read = measured(rows.states, rows.tokens, [0], 3)
    draws, scores = planted(read, rows.tokens, labels), all_scores(read, labels)
    found = accuracy(draws)
    assert found.best is not None
    values = scores[found.best]
    figure = draw(draws, found, found.best, values, labels, ["forget/a", "forget/b", "retain"])
    curves, *histograms = figure.axes
    assert len(curves.get_lines()) == 6
    assert [axes.get_title() for axes in histograms] == ["forget/a", "forget/b", "retain"]
    for label, axes in enumerate(histograms):
        own = values[labels == label]
        assert sum(bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)) == len(own)
        (marks,) = axes.get_lines()
        assert torch.equal(torch.as_tensor(marks.get_xdata()).sort().values, own[own <= found.threshold].sort().values)
