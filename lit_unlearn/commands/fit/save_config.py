"""`config.yaml` and `run.json` in the run's folder."""

from pathlib import Path

import lightning as L
from lightning.pytorch.cli import SaveConfigCallback

from lit_unlearn.commands.fit import resuming
from lit_unlearn.runs import record
from lit_unlearn.runs.atomic_files import write_whole


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` and `run.json` into the run's folder once options are checked and the model is loaded."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Nothing yet: an option may still be refused, and a refused run leaves nothing behind."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "fit")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "validate")

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves it."""
        super().setup(trainer, pl_module, "test")

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Called by Lightning in one process, once."""
        path = Path(trainer.default_root_dir) / self.config_filename
        if not path.exists():  # a run that goes on has the same
            write_whole(path, resuming.saved(self.parser, self.config))
        record.write_record(trainer, pl_module)
