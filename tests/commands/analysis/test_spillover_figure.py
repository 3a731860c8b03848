import math

import torch
from matplotlib.patches import Rectangle

from lit_unlearn.commands.analysis.insertion import FORMS, PERTURBED
from lit_unlearn.commands.analysis.patching import DISTANCES, POSITIONS, Patched
from lit_unlearn.commands.analysis.spillover import summary
from lit_unlearn.commands.analysis.spillover_figure import Numbers, draw

SETS = ("retain/3-gram", "retain/prefix")
MODELS = ("rmu", "rna")


def patched(distance: float) -> Patched:
    """Of two queries, answered correctly wherever the base's states stand, and so long as the profile goes."""
    profile = torch.full((len(DISTANCES), 2), math.nan)
    profile[DISTANCES.index(1)] = torch.tensor([distance, 3 * distance])
    rows = torch.full((len(POSITIONS), 2), distance)
    return Patched(torch.ones(len(POSITIONS), 2, dtype=torch.bool), rows, profile, torch.tensor([1.0, 3.0]))


def numbers(inserted: float) -> Numbers:
    return {"last_inserted_tokens": inserted} | summary({form: patched(6.0) for form in FORMS})


def test_each_set_has_a_panel_of_accuracies_and_one_of_displacements() -> None:
    base: dict[str, Numbers] = {name: {PERTURBED: {"value": 0.75}} for name in SETS}
    figure = draw(base, {model: {name: numbers(3.0) for name in SETS} for model in MODELS})
    assert [one.get_title() for one in figure.axes] == [name for name in SETS for _ in range(2)]
    left, right = figure.axes[:2]
    assert left.lines[0].get_ydata() == [75.0, 75.0]
    assert len(left.containers) == 2 * len(MODELS)  # perturbed and control
    (dots, *_) = left.containers[0]
    assert dots.get_ydata().tolist() == [100.0] * len(POSITIONS)
    profile = {(line.get_linestyle(), line.get_color()): line for line in right.lines}
    assert len(profile) == len(right.lines) == 3 * len(MODELS)
    drawn = torch.tensor(right.lines[0].get_ydata()).isfinite()
    assert torch.tensor(DISTANCES)[drawn].tolist() == [1]
    (shaded,) = right.patches
    assert isinstance(shaded, Rectangle)
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == (-2.5, 0.5)  # the last three inserted tokens
    (shown,) = figure.legends
    assert [text.get_text() for text in shown.get_texts()] == ["base", *MODELS, *FORMS]
