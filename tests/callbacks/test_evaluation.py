from pathlib import Path
from typing import Any

import lightning as L
import pytest

from lit_unlearn import InputError
from lit_unlearn.callbacks.evaluation import EvaluationCallback, Found
from tests.callbacks.test_robustness import EVERY
from tests.training import demo_data, demo_module, quiet_trainer


class Steps(EvaluationCallback):
    """Counts nothing but the steps, under a name of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def _keep(self, outputs: Any, batch: Any, dataloader_idx: int) -> None:
        raise AssertionError("there are held-out pairs alone")

    def _count(self, trainer: L.Trainer, evaluations: list[dict[str, Any]]) -> Found:
        return Found({self.name: trainer.global_step}, {self.name: float(len(evaluations))}, f"{self.name} counts")


class More(Steps):
    """A callback of another class."""


def test_several_keep_one_record_and_the_first_holds_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = Steps("one"), More("other")
    trainer = quiet_trainer(tmp_path, max_steps=2, callbacks=[one, other], **EVERY)
    trainer.fit(demo_module(world, whole_model=True), demo_data(world, holdout=8))
    assert [(record["one"], record["other"]) for record in one.evaluations] == [(0, 0), (2, 2)]
    assert other.evaluations == []
    assert len(one.evaluations[0]["held_out"]["forget"]["row"]) == 8 * 2
    assert trainer.callback_metrics["val/other"] == 2.0
    printed = capsys.readouterr().out
    assert printed.count("other counts") == 2
    assert printed.count("held-out rows, NLL") == 2


def test_a_run_that_would_end_without_an_evaluation_is_refused(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=3, callbacks=[Steps("one")], **EVERY)
    with pytest.raises(InputError, match=r"val_check_interval: 2 would end 3 steps without an evaluation"):
        trainer.fit(demo_module(world), demo_data(world, holdout=8))
