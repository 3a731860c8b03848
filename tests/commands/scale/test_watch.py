"""When a short training is given up, and what is noted of its steps."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ExponentialLR

from lit_unlearn import StopAtForgetting
from lit_unlearn.commands.scale.watch import Hopeless, Watch
from tests.callbacks.test_stop_at_forgetting import ascending
from tests.training import demo_data, demo_module, quiet_trainer


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


@pytest.mark.parametrize(
    ("trainer", "module"),
    [
        ({}, {}),
        ({"accumulate_grad_batches": 2}, {}),
        ({}, {"lr_scheduler": partial(ExponentialLR, gamma=0.5)}),
        ({}, {"lr_scheduler": partial(CosineAnnealingWarmRestarts, T_0=2)}),
    ],
)
def test_the_rate_grows_from_step_to_step(
    trainer: dict[str, Any], module: dict[str, Any], world: Path, tmp_path: Path
) -> None:
    watch = Watch(growth=2.0, measures=False)
    fit = quiet_trainer(tmp_path, callbacks=[watch], **trainer)
    fit.fit(demo_module(world, **module), demo_data(world))
    assert fit.global_step == len(watch.forget_loss) == len(watch.retain_loss) == 3
    assert watch.largest == pytest.approx(4 * 3e-3)
    assert watch.moved == pytest.approx((1 + 2 + 4) * 3e-3)


def test_of_a_rate_that_falls_the_largest_is_noted(world: Path, tmp_path: Path) -> None:
    watch = Watch(measures=False)
    module = demo_module(world, lr_scheduler=partial(ExponentialLR, gamma=0.5))
    quiet_trainer(tmp_path, callbacks=[watch]).fit(module, demo_data(world))
    assert watch.largest == pytest.approx(3e-3)
    assert watch.moved == pytest.approx((1 + 0.5 + 0.25) * 3e-3)
