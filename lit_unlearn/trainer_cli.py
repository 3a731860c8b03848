"""`fit`, `validate` and `test`: LightningCLI, with a folder for each run and readable errors."""

import contextlib
import itertools
import os
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

import lit_unlearn.callbacks
import lit_unlearn.forget
import lit_unlearn.retain  # noqa: F401  short class names in YAML are those of imported classes
from lit_unlearn.errors import InputError
from lit_unlearn.module import UnlearnModule

_FOLDER_VARIABLE = "LIT_UNLEARN_RUN_FOLDER"


def run(words: list[str]) -> None:
    """Runs `fit`, `validate` or `test` with these options.

    Raises:
        InputError: an option, a file or a combination that cannot work.
    """
    try:
        UnlearnCLI(words)
    except MisconfigurationException as error:
        raise InputError(str(error)) from error


class Parser(LightningArgumentParser):
    """A parser whose errors are ours: one line, with the nearest key that exists."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises InputError where jsonargparse would print its usage and exit."""
        if not self.exit_on_error:
            super().error(message, ex)
        raise InputError(message)


class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` into the run's folder once the options have been checked and the model is loaded."""

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
        self.parser.save(self.config, path, skip_none=False, overwrite=self.overwrite)


class UnlearnCLI(LightningCLI):
    """LightningCLI for UnlearnModule and any DataModule; every run writes into a folder of its own."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(
            UnlearnModule,
            L.LightningDataModule,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            parser_class=Parser,
            args=words,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Those of Lightning's that make sense here."""
        return {name: skipped for name, skipped in LightningCLI.subcommands().items() if name != "predict"}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the words given, never the process's own."""
        self.config = parser.parse_args(args)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The Trainer, writing into the run's folder; without a logger of the user's, metrics go to `metrics.csv`."""
        options = self.config[self.subcommand]
        folder = run_folder(options.trainer.default_root_dir, [str(path) for path in options.config or []])
        kwargs["default_root_dir"] = str(folder)
        if options.trainer.logger in (None, True):
            kwargs["logger"] = CSVLogger(folder, name="", version="")
        return super().instantiate_trainer(**kwargs)


def run_folder(wanted: str | None, configs: list[str]) -> Path:
    """A new folder for a run, the same in all its processes: the one wanted, else `runs/CONFIG-TIME`.

    Raises:
        InputError: the one wanted holds something already.
    """
    if getattr(rank_zero_only, "rank", 0) != 0 and _FOLDER_VARIABLE in os.environ:
        return Path(os.environ[_FOLDER_VARIABLE])
    folder = _claim(wanted, Path(configs[0]).stem if configs else "run")
    # Lightning starts the other processes of this machine with this one's environment.
    os.environ[_FOLDER_VARIABLE] = str(folder)
    return folder


def _claim(wanted: str | None, name: str) -> Path:
    if wanted is not None:
        folder = Path(wanted)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"trainer.default_root_dir: {folder} holds another run; give a new folder or leave it out")
        return folder
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in itertools.chain([""], (f"-{number}" for number in itertools.count(2))):
        folder = Path("runs") / f"{stem}{suffix}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError
