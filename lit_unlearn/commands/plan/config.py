"""The options of a run, read without running it."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from lit_unlearn.commands.fit import resuming
from lit_unlearn.commands.fit.checks import check_fit, check_run, check_trainer, named_trainer, processes_of_machine
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.plan.check import Check, refused
from lit_unlearn.commands.plan.step import StepRows
from lit_unlearn.data.preferred_answers import answers_of, check_preferred
from lit_unlearn.data.text import first_texts
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.distributed.checks import check_replicas, settle_sizes
from lit_unlearn.errors import InputError
from lit_unlearn.losses.checks import check_topics
from lit_unlearn.models.precision import named_precision
from lit_unlearn.runs.atomic_files import check_folder
from lit_unlearn.runs.folder import check_claimable
from lit_unlearn.runs.loggers import check_loggers

STRATEGIES = ONE, DDP, FSDP2 = "one device", "DDP", "FSDP2"
_RUNS = Path("runs")
_HERE = {
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": None,
    "plugins": None,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "sync_batchnorm": False,
}
"""Options of a Trainer that every machine can have and that writes nothing."""
_CHARACTERS = 3
"""Characters of a token, at least: preferred answers are counted without the tokenizer."""


class PlanCLI(ConfigCLI):
    """The options of `fit`, whatever the machine has; nothing is loaded, nothing runs."""

    folder_check: Check | None
    """Why the run could not have its folder; None if it could."""

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """A Trainer of the config's options that this machine can have; the config's devices may be another's."""
        check_trainer(self.trainer_options)
        check_loggers(self.trainer_options.logger)
        if self.config["fit"].ckpt_path == resuming.LAST:
            resuming.check_last("fit", self.config["fit"])
        wanted, again = self.trainer_options.default_root_dir, self.config["fit"].ckpt_path == resuming.LAST
        if wanted is not None:
            self.folder_check = refused(partial(check_claimable, Path(wanted), again=again))
        else:
            self.folder_check = refused(partial(check_folder, _RUNS, "trainer.default_root_dir"))
        # What callbacks would say of a folder that is refused is of no use.
        root = _RUNS if self.folder_check else self.folder_of_run
        with named_trainer():
            trainer: L.Trainer = LightningCLI.instantiate_trainer(self, **_HERE, default_root_dir=str(root))
        return trainer

    def before_fit(self) -> None:
        """Checks, by fit's own functions, what needs neither weights nor data.

        Raises:
            InputError: an option cannot be used.
        """
        if not isinstance(self.datamodule, UnlearnDataModule):
            raise InputError(
                f"data: {type(self.datamodule).__name__} does not say how long its rows are; plan with "
                "UnlearnDataModule or one that extends it"
            )
        options = self.config_init["fit"]
        if options.ckpt_path == resuming.LAST:
            options.ckpt_path = resuming.last(
                self.folder_of_run, resuming.saved(self._parser("fit"), self.config["fit"])
            )
        strategy = self.trainer_options.strategy
        check_run(options, self.model, trainer=self.trainer, strategy=strategy, processes=self.processes)
        check_fit(options, self.model, self.datamodule, trainer=self.trainer)
        check_topics(self.model, self.datamodule.topics)

    def check_trainer_here(self) -> None:
        """Has Lightning look at the devices that the config asks for; nothing is started.

        Raises:
            InputError: this machine cannot have such a Trainer.
        """
        named = ("accelerator", "devices", "num_nodes", "strategy", "precision", "plugins", "sync_batchnorm")
        with named_trainer():
            L.Trainer(
                **{name: self.trainer_options[name] for name in named},
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )

    @property
    def trainer_options(self) -> Any:
        """The Trainer's options; classes among them are made."""
        return self.config_init["fit"].trainer

    @property
    def folder_of_run(self) -> Path:
        """The folder of the run, or where it will be made."""
        return Path(self.trainer_options.default_root_dir or _RUNS)

    @property
    def precision(self) -> str:
        """The Trainer's precision by the name that Lightning ends up with."""
        return named_precision(self.trainer_options.precision)

    @property
    def processes(self) -> int:
        """Processes of the run on all machines, as far as the options say."""
        counted = self.trainer_options.devices, self.trainer_options.num_nodes
        try:
            count = processes_of_machine(self.trainer_options) * int(counted[1])
        except ValueError:
            count = 0
        if count < 1:
            raise InputError(
                f"trainer.devices: {counted[0]!r} on {counted[1]} machines are no processes; give 1 or more of each"
            )
        return count

    @property
    def strategy(self) -> str:
        """How processes share the work: `ONE`, `DDP` or `FSDP2`.

        Raises:
            InputError: they share it in a way that is not known here, or cannot.
        """
        strategy = self.trainer_options.strategy
        if isinstance(strategy, ModelParallelStrategy):
            settle_sizes(strategy, self.processes)
            return FSDP2
        if not isinstance(strategy, DDPStrategy) and str(strategy).partition("_")[0] not in ("auto", "ddp"):
            name = repr(strategy) if isinstance(strategy, str) else type(strategy).__name__
            raise InputError(f"trainer.strategy: {name} cannot be planned; take trainer/ddp.yaml or trainer/fsdp2.yaml")
        return DDP if self.processes > 1 else ONE

    @property
    def replicas(self) -> int:
        """Copies of the model that the processes hold between them under FSDP2.

        Raises:
            InputError: they cannot hold this number.
        """
        check_replicas(self.model.replicas, self.processes if self.strategy == FSDP2 else None)
        return self.model.replicas

    @property
    def batches(self) -> int | None:
        """Batches of the whole run; None where the data decides."""
        steps, together = self.trainer_options.max_steps, self.trainer_options.accumulate_grad_batches
        return steps * together if steps > 0 else None

    def rows(self, processes: int) -> list[StepRows]:
        """The rows of one process, for each topic, in the topics' order."""
        data, count = self.datamodule, self.datamodule.batch_size // processes
        own = data.retain if len(data.retain) > 1 else dict.fromkeys(data.forget, *data.retain.values())
        preferred = self._preferred() if self.model.needs_preferred else 0
        joined = data.mixing is not None and data.mixing.unit == "rows"  # both rows may be the one mixed prompt
        pairs = [(source.max_length, own[name].max_length) for name, source in data.forget.items()]
        return [StepRows(count, *((sum(pair),) * 2 if joined else pair), preferred) for pair in pairs]

    def _preferred(self) -> int:
        """Tokens of the longest preferred answer, at most."""
        if self.datamodule.alternatives is not None:
            return int(self.datamodule.alternatives.max_length)
        path = self.datamodule.preferred or self.datamodule.own_preferred
        check_preferred(path)
        source = answers_of(path)
        if not source.is_local():
            return source.max_length
        longest = max(len(text.strip()) for text in first_texts(source, sys.maxsize))
        return min(-(-longest // _CHARACTERS) + 1, source.max_length)
