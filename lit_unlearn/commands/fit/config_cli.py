"""The model and the data of a config, without a run."""

from typing import Any

import lightning as L

from lit_unlearn.commands.fit.checks import check_trainer, named_trainer
from lit_unlearn.commands.fit.cli import UnlearnCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.folder import RunFolder


class ConfigCLI(UnlearnCLI):
    """The model and the data of a config for `fit`; nothing is loaded, nothing runs.

    Args:
        words: of `fit`.
        trainer: further options of the Trainer.
    """

    model: UnlearnModule

    def __init__(self, words: Words, **trainer: Any) -> None:
        self._trainer_options = trainer
        super().__init__(words, RunFolder(), alone=False)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """A Trainer for the config's accelerator and precision that leaves nothing on disk."""
        options = self.config["fit"].trainer
        check_trainer(self.config_init["fit"].trainer)
        with named_trainer():
            return L.Trainer(
                accelerator=options.accelerator,
                precision=options.precision,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                **self._trainer_options,
            )

    def fit(self, **kwargs: Any) -> None:
        """Nothing, instead of the Trainer's; what comes before it has checked the options."""
