"""A training that ends when enough is forgotten."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import GradientAscent, InputError, QuestionModule, StopAtForgetting
from tests.training import demo_data, demo_module, quiet_trainer


class Rises(L.Callback):
    """What is logged after each step."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}
        self.validated: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if "train/forget_nll_rise" in trainer.callback_metrics:
            self.values[trainer.global_step] = float(trainer.callback_metrics["train/forget_nll_rise"])

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.validated.append(trainer.global_step)


def ascending(world: Path, **options: Any) -> Any:
    forget = GradientAscent()
    return demo_module(world, forget=forget, retain_weight=0.0, noise_scale=0.0, trainable=[".*mlp.*"], **options)


def fitted(
    world: Path, folder: Path, rise: float, *, resume: str | None = None
) -> tuple[L.Trainer, Any, Rises, StopAtForgetting]:
    stop, seen = StopAtForgetting(rise, every=2, rows=8), Rises()
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    trainer = quiet_trainer(
        folder, callbacks=[stop, seen, keep], max_steps=12, num_sanity_val_steps=0, enable_checkpointing=True
    )
    module = ascending(world)
    trainer.fit(module, demo_data(world, holdout=8), ckpt_path=resume)
    return trainer, module, seen, stop


def test_it_stops_where_held_out_rows_have_lost_enough(world: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"of 99 nats per token when training ended; raise trainer.max_steps"):
        _, _, all_of_them, _ = fitted(world, tmp_path, 99.0)
    rises = all_of_them.values
    wanted = rises[6]
    assert wanted > max(rises[2], rises[4], 0.0)
    trainer, module, seen, stop = fitted(world, tmp_path, 0.999 * wanted)
    assert trainer.global_step == 6
    assert seen.validated[-1] == 6  # it is evaluated where it stops
    # What it measured is the model's likelihood of the rows at the end of the stream.
    pairs = list(trainer.datamodule.val_dataloader()[0])  # type: ignore[attr-defined]
    batches = [pair["forget"] for pair in pairs[:2]]  # 8 rows
    with torch.no_grad():
        after = torch.cat([module.nll(rows) for rows in batches]).mean()
        with module.frozen.running():
            before = torch.cat([module.nll(rows) for rows in batches]).mean()
    assert float(after - before) == pytest.approx(wanted, rel=1e-3)
    assert stop.after - stop.before == pytest.approx(wanted, rel=1e-4)


def test_a_resumed_run_ends_where_the_uninterrupted_one_does(world: Path, tmp_path: Path) -> None:
    rise = 1.0
    whole, *_ = fitted(world, tmp_path, rise)
    assert 4 < whole.global_step < 12
    for step in (4, whole.global_step):  # before it was stopped, and where it was
        again, *_ = fitted(world, tmp_path / "again", rise, resume=str(tmp_path / f"step={step}.ckpt"))
        assert again.global_step == whole.global_step
    stopped = str(tmp_path / f"step={whole.global_step}.ckpt")
    longer, *_ = fitted(world, tmp_path / "longer", 1.5 * rise, resume=stopped)
    assert whole.global_step < longer.global_step


def test_without_rows_that_are_held_out_it_is_refused(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[StopAtForgetting(1.0)])
    with pytest.raises(InputError, match=r"StopAtForgetting: no rows are held out; set data.holdout"):
        trainer.fit(ascending(world), demo_data(world))


def test_another_module_is_refused(world: Path, tmp_path: Path) -> None:
    module = QuestionModule(str(world / "model"))
    with pytest.raises(InputError, match=r"QuestionModule is not an UnlearnModule; remove the callback"):
        StopAtForgetting(1.0).setup(quiet_trainer(tmp_path), module, "fit")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rise": 0.0}, r"StopAtForgetting.rise: must be above 0 nats, got 0.0"),
        ({"rise": float("nan")}, r"StopAtForgetting.rise: must be above 0 nats and finite, got nan"),
        ({"rise": 1.0, "every": 0}, r"StopAtForgetting.every: must be at least 1, got 0"),
        ({"rise": 1.0, "rows": 0}, r"StopAtForgetting.rows: must be at least 1, got 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        StopAtForgetting(**options)


@pytest.mark.parametrize(("batch_size", "rows", "measured"), [(4, 4, 8), (8, 16, 16), (2, 6, 8)])
def test_every_topic_is_measured(world: Path, tmp_path: Path, batch_size: int, rows: int, measured: int) -> None:
    stop = StopAtForgetting(99.0, rows=rows)
    trainer = quiet_trainer(tmp_path, callbacks=[stop], max_steps=1, num_sanity_val_steps=0)
    with pytest.warns(UserWarning, match=r"when training ended"):
        trainer.fit(ascending(world), demo_data(world, holdout=8, batch_size=batch_size))
    topics = torch.cat([batch["topic"] for batch in stop._batches])
    assert topics.bincount().tolist() == [measured // 2] * 2
