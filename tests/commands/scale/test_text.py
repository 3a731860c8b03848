"""What `scale` prints of a model's layers: attention sinks, and what bounds a steering length."""

import math

from lit_unlearn.commands.scale import text
from lit_unlearn.commands.scale.aim import Aim
from lit_unlearn.commands.scale.find import Found
from lit_unlearn.commands.scale.layers import LayerStates
from lit_unlearn.commands.scale.probe import Probe
from lit_unlearn.commands.scale.settings import Settings

PLAIN = LayerStates(10.0, 12.0, 0.1, 0.2, (1.0, 1.0), None)
SINK = PLAIN._replace(first_norm=2000.0, first_share=0.99)
BOUNDED = PLAIN._replace(bound=(0.5, 0.5))  # half of what a dimension is


def told(layers: list[LayerStates], length: float, layer: int = 3) -> str:
    """The report of a model with these states, scaled at a layer."""
    settings = Settings(layer, 1e-3, 100.0, steps=240, length=("coefficient", length), forget="RMU")
    diverged = Probe(1e-3, 100.0, [1.0, math.nan], [0.0, 0.0], None, None, 1.0, 0.1)
    return text.report(Found("tiny", "RMU", Aim(240, 1.2, 0.02, 1), layers, diverged, [diverged], settings, diverged))


def test_layers_with_a_sink_are_marked_and_not_offered() -> None:
    found = told([PLAIN] * 4 + [SINK] * 8, 4.0)
    assert "2000 sink" in found
    assert "a first token of more than 10 norms): [3]. Taken: 3." in found
    assert "all have sinks. Taken: 3." in told([SINK] * 12, 4.0)
    assert "norm after the MLP" not in found


def test_a_bound_on_what_mlps_add_is_told_with_what_was_taken_instead() -> None:
    line = "A norm after the MLP bounds what layers 1 to 3 can add to 1.5 norms: coefficient {} of 4."
    assert line.format("1.1 instead") in told([BOUNDED] * 12, 1.1)
    assert "can add to 1.5 norms: coefficient 4 is within." in told([BOUNDED] * 12, 4.0)
