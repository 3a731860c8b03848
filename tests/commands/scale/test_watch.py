"""When a short training is given up."""

from pathlib import Path

import pytest

from lit_unlearn import StopAtForgetting
from lit_unlearn.commands.scale.watch import Hopeless
from tests.callbacks.test_stop_at_forgetting import ascending
from tests.training import demo_data, quiet_trainer


@pytest.mark.parametrize(("rise", "steps"), [(4.0, 12), (99.0, 10)])
def test_a_training_is_given_up_by_what_was_measured_in_it(
    world: Path, tmp_path: Path, rise: float, steps: int
) -> None:
    stop = StopAtForgetting(rise)  # which measures after 10 steps, when more than half of them are over
    trainer = quiet_trainer(tmp_path, callbacks=[stop, Hopeless(stop, 12)], max_steps=12, num_sanity_val_steps=0)
    with pytest.warns(UserWarning, match=r"when training ended"):
        trainer.fit(ascending(world), demo_data(world, holdout=8))
    assert 0.4 < stop.after - stop.before < 4.0
    assert trainer.global_step == steps
