"""`config.yaml` and `run.json` in the run's folder."""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
from lightning.pytorch.cli import SaveConfigCallback

from lit_unlearn.commands.fit import resuming
from lit_unlearn.models.source import source_of
from lit_unlearn.modules.pretrained import PretrainedModule
from lit_unlearn.modules.protocols import datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import record
from lit_unlearn.runs.atomic_files import write_whole


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` and `run.json` into the run's folder once options are checked and the model is loaded."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Nothing yet: an option may still be refused, and a refused run leaves nothing behind."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "fit")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Adds the model's units to `run.json`, which are measured after the rest is written."""
        if trainer.is_global_zero and isinstance(pl_module, UnlearnModule) and pl_module.model_units is not None:
            record.add(trainer, {"units": pl_module.model_units.summary()})

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "validate")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "test")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Called by Lightning in one process, once."""
        path = Path(trainer.default_root_dir) / self.config_filename
        if not path.exists():  # a run that is resumed has the same
            write_whole(path, resuming.saved(self.parser, self.config))
        record.write_record(trainer, _about(trainer, pl_module))


@runtime_checkable
class HasRows(Protocol):
    """Data that says which rows a run is trained on."""

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows of each stream."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Checksums of each stream's rows."""


def _about(trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
    """What decides a run's numbers of its model and its data."""
    source, data = source_of(module), datamodule_of(trainer)
    config = module.updated.config if isinstance(module, PretrainedModule) else None
    rows = data if isinstance(data, HasRows) else None
    return {
        "model": source and source.name,
        "model_commit": getattr(config, "_commit_hash", None),  # of a hub model
        "rows": rows.row_counts if rows else {},
        "fingerprints": rows.fingerprints if rows else {},
    }
