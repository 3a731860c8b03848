from pathlib import Path
from typing import Any

import lightning as L
import pytest
from packaging.version import Version

from lit_unlearn import InputError
from tests.training import demo_data, demo_module, quiet_trainer

_lightning = Version(L.__version__)


def fit(world: Path, folder: Path, **options: Any) -> int:
    """The steps that were taken, of an epoch of 30: 2 topics of 60 rows, 4 rows in a step."""
    trainer = quiet_trainer(folder, max_steps=2, **options)
    trainer.fit(demo_module(world), demo_data(world, batch_size=4, holdout=0))
    return trainer.global_step


@pytest.mark.parametrize(
    ("options", "batches"), [({}, 30), ({"limit_train_batches": 7}, 7), ({"limit_train_batches": 0.5}, 15)]
)
def test_an_interval_longer_than_an_epoch_is_refused_before_the_model_is_loaded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], batches: int
) -> None:
    monkeypatch.setattr("lit_unlearn.modules.unlearn.UnlearnModule.configure_model", lambda self: pytest.fail("loaded"))
    message = (
        rf"^trainer\.val_check_interval: 31 is above the {batches} batches of an epoch, .* set "
        rf"trainer\.check_val_every_n_epoch to null, .* or give at most {batches}$"
    )
    with pytest.raises(InputError, match=message):
        fit(world, tmp_path, val_check_interval=31, check_val_every_n_epoch=1, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"val_check_interval": 30, "check_val_every_n_epoch": 1},
        {"val_check_interval": 31, "check_val_every_n_epoch": None},
        pytest.param(
            {"val_check_interval": 31, "limit_val_batches": 0},
            marks=pytest.mark.skipif(_lightning < Version("2.6.6"), reason="Lightning refuses it, if late"),
        ),
    ],
)
def test_what_lightning_takes_is_taken(world: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    assert fit(world, tmp_path, **options) == 2
