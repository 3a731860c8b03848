"""A Trainer that resumes takes exactly the rows that an uninterrupted one would take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import InputError, UnlearnDataModule
from tests.data.running import Model, Seen, data_module, small, trainer
from tests.fast import only

STEPS = 15  # streams of 12 and 8 rows in batches of 4: an epoch has 6 steps


class SaveAfter(L.Callback):
    """Saves within `on_train_batch_end` of a step."""

    def __init__(self, step: int, path: Path) -> None:
        self.step = step
        self.path = path

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.fixture
def few(tmp_path: Path, world: Path) -> Callable[..., UnlearnDataModule]:
    forget, retain = small(tmp_path, ash=12, bay=8), small(tmp_path, cod=20)

    def build(**options: Any) -> UnlearnDataModule:
        return data_module(world, forget=forget, retain=retain, **options)

    return build


def run(data: UnlearnDataModule, folder: Path, *callbacks: L.Callback, resume: Path | None = None, **to: Any) -> Model:
    module = Model()
    trainer(folder, *callbacks, **(to or {"max_steps": STEPS})).fit(module, datamodule=data, ckpt_path=resume)
    return module


def assert_goes_on(first: Model, resumed: Model, whole: Model) -> None:
    """The two parts saw what the whole saw, and trained to the same weights."""
    assert first.seen + resumed.seen == whole.seen
    assert torch.equal(resumed.embedding.weight, whole.embedding.weight)


@pytest.fixture
def whole(few: Callable[..., UnlearnDataModule], tmp_path: Path) -> Model:
    torch.manual_seed(0)
    return run(few(), tmp_path)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("step", only([1, 5, 6, 7, 11, 12, 13], 1, 6, 7))
def test_a_run_goes_on_from_a_checkpoint_of_any_step(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model, step: int, workers: int
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "x.ckpt"
    first = run(few(num_workers=workers), tmp_path, SaveAfter(step, path), max_steps=step)
    assert_goes_on(first, run(few(num_workers=workers), tmp_path, resume=path), whole)


@pytest.mark.parametrize("step", only([3, 6, 8, 12], 6, 8))
def test_a_run_that_went_on_after_saving_can_be_taken_up_there(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model, step: int
) -> None:
    path = tmp_path / "x.ckpt"
    run(few(), tmp_path, SaveAfter(step, path))
    assert run(few(), tmp_path, resume=path).seen == whole.seen[step:]


@pytest.mark.parametrize("workers", only([0, 2], 0))
@pytest.mark.parametrize(
    ("options", "step"),
    [
        ({"every_n_train_steps": 4}, 4),
        ({"every_n_train_steps": 6}, 6),
        pytest.param({"every_n_train_steps": 6}, 12, marks=pytest.mark.slow),
        pytest.param({}, 4, marks=pytest.mark.slow),
        ({}, 6),
        ({}, 9),
        pytest.param({}, 12, marks=pytest.mark.slow),
        ({"save_on_train_epoch_end": True}, 6),
        ({"save_on_train_epoch_end": True}, 9),
    ],
)
def test_a_run_goes_on_from_a_model_checkpoint(
    few: Callable[..., UnlearnDataModule],
    tmp_path: Path,
    whole: Model,
    options: dict[str, Any],
    step: int,
    workers: int,
) -> None:
    torch.manual_seed(0)
    saving = ModelCheckpoint(tmp_path / "saved", save_last=True, **options)
    first = run(few(num_workers=workers), tmp_path, saving, max_steps=step)
    resumed = run(few(num_workers=workers), tmp_path, resume=Path(saving.last_model_path))
    assert_goes_on(first, resumed, whole)


@pytest.mark.parametrize("step", only([4, 6, 9, 12], 6, 9))
def test_a_run_goes_on_from_a_checkpoint_saved_after_it(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model, step: int
) -> None:
    torch.manual_seed(0)
    runner, first = trainer(tmp_path, max_steps=step), Model()
    runner.fit(first, datamodule=few())
    runner.save_checkpoint(tmp_path / "x.ckpt")
    assert_goes_on(first, run(few(), tmp_path, resume=tmp_path / "x.ckpt"), whole)


@pytest.mark.parametrize("step", only([3, 6, 9], 3, 6))
def test_a_run_that_validates_goes_on(few: Callable[..., UnlearnDataModule], tmp_path: Path, step: int) -> None:
    saving = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=step, save_top_k=1)
    options: dict[str, Any] = {"val_check_interval": 3, "check_val_every_n_epoch": None}
    whole = run(few(holdout=4), tmp_path, max_steps=STEPS, **options)
    first = run(few(holdout=4), tmp_path, saving, max_steps=step, **options)
    path = Path(saving.best_model_path)
    resumed = run(few(holdout=4), tmp_path, resume=path, max_steps=STEPS, **options)
    assert first.seen + resumed.seen == whole.seen


@pytest.mark.parametrize("batches", only([2, 6, 7], 6, 7))
def test_accumulated_steps_count_as_batches(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model, batches: int
) -> None:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == batches:
                trainer.save_checkpoint(tmp_path / "x.ckpt")

    run(few(), tmp_path, Save(), max_epochs=2, accumulate_grad_batches=2)
    resumed = run(few(), tmp_path, resume=tmp_path / "x.ckpt", max_epochs=2, accumulate_grad_batches=2)
    assert resumed.seen == whole.seen[batches:12]


@pytest.mark.parametrize("step", only([3, 4, 6, 8], 3, 4))
def test_shortened_epochs_skip_no_rows(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model, step: int
) -> None:
    path = tmp_path / "x.ckpt"
    first = run(few(), tmp_path, SaveAfter(step, path), max_steps=STEPS, limit_train_batches=4)
    assert first.seen == whole.seen
    assert run(few(), tmp_path, resume=path, max_steps=STEPS, limit_train_batches=4).seen == whole.seen[step:]


def test_a_resumed_run_can_be_resumed(few: Callable[..., UnlearnDataModule], tmp_path: Path, whole: Model) -> None:
    torch.manual_seed(0)
    seen: list[Seen] = []
    path = None
    for step in (2, 6, 7, 12, STEPS):
        saving = SaveAfter(step, tmp_path / f"{step}.ckpt")
        module = run(few(), tmp_path, saving, resume=path, max_steps=step)
        seen += module.seen
        path = saving.path
    assert seen == whole.seen
    assert torch.equal(module.embedding.weight, whole.embedding.weight)


def test_a_checkpoint_can_be_validated_on_other_rows(few: Callable[..., UnlearnDataModule], tmp_path: Path) -> None:
    run(few(), tmp_path, SaveAfter(2, tmp_path / "x.ckpt"), max_steps=2)
    module = Model()
    trainer(tmp_path).validate(module, datamodule=few(holdout=2, batch_size=2), ckpt_path=tmp_path / "x.ckpt")
    assert len(module.validated) == 2


def test_an_exact_resume_is_not_warned_of(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    run(few(), tmp_path, SaveAfter(2, tmp_path / "x.ckpt"), max_steps=2)
    run(few(), tmp_path, resume=tmp_path / "x.ckpt")
    assert not [warning for warning in recwarn if "resum" in str(warning.message)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"data\.seed: the checkpoint was made with seed 0, this run has 1; resume with the same"),
        ({"batch_size": 2}, r"data\.batch_size: the checkpoint was made with batch_size 4, this run has 2"),
        ({"holdout": 4}, r"data\.holdout: the checkpoint was made with holdout 0, this run has 4"),
    ],
)
def test_a_resume_with_another_order_is_refused(
    few: Callable[..., UnlearnDataModule], tmp_path: Path, options: dict[str, int], message: str
) -> None:
    run(few(), tmp_path, SaveAfter(2, tmp_path / "x.ckpt"), max_steps=2)
    with pytest.raises(InputError, match=message):
        run(few(**options), tmp_path, resume=tmp_path / "x.ckpt")
