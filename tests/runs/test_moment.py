"""What a heading says of when something was measured."""

from types import SimpleNamespace
from typing import cast

import lightning as L
import pytest
from lightning.pytorch.trainer.states import TrainerFn

from lit_unlearn.runs.moment import moment


@pytest.mark.parametrize(
    ("task", "steps", "stopped", "expected"),
    [
        (TrainerFn.FITTING, 0, False, "Before training"),
        (TrainerFn.FITTING, 1, False, "After 1 step"),
        (TrainerFn.FITTING, 300, True, "After 300 steps"),
        (TrainerFn.FITTING, 0, True, "Without training"),
        (TrainerFn.VALIDATING, 0, False, "Evaluation"),
        (TrainerFn.TESTING, 0, False, "Evaluation"),
    ],
)
def test_it_says_how_far_the_run_is(task: TrainerFn, steps: int, stopped: bool, expected: str) -> None:
    trainer = SimpleNamespace(state=SimpleNamespace(fn=task), global_step=steps, should_stop=stopped)
    assert moment(cast(L.Trainer, trainer)) == expected
