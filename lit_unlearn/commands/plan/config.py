"""The options of a run, read without running it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.plan.step import StepRows
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.distributed.checks import check_replicas, settle_sizes
from lit_unlearn.errors import InputError
from lit_unlearn.losses.checks import check_topics
from lit_unlearn.models.precision import weights_dtype

STRATEGIES = ONE, DDP, FSDP2 = "one device", "DDP", "FSDP2"
_CHARACTERS = 3
"""Characters of a token, at least: preferred answers are counted without the tokenizer."""


class PlanCLI(ConfigCLI):
    """The options of `fit`, whatever the machine has; nothing is loaded, nothing runs."""

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """A Trainer that this machine can have; the config's own may be for another."""
        return L.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)

    def before_fit(self) -> None:
        """Checks what needs neither weights nor data.

        Raises:
            InputError: an option cannot be used.
        """
        weights_dtype(self.precision)
        self.model.check_model()
        self.model.check_optimizer()
        if not isinstance(self.datamodule, UnlearnDataModule):
            raise InputError(
                f"data: {type(self.datamodule).__name__} does not say how long its rows are; plan with "
                "UnlearnDataModule or one that extends it"
            )
        check_topics(self.model, self.datamodule.topics)

    @property
    def trainer_options(self) -> Any:
        """The Trainer's options; classes among them are made."""
        return self.config_init["fit"].trainer

    @property
    def precision(self) -> str:
        """The Trainer's precision by the name that Lightning ends up with."""
        precision = str(self.trainer_options.precision)
        return {"None": "32-true", "32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "16": "16-mixed"}.get(
            precision, precision
        )

    @property
    def processes(self) -> int:
        """Processes of the run on all machines, as far as the options say."""
        counted = self.trainer_options.devices, self.trainer_options.num_nodes
        try:
            count = devices(counted[0]) * int(counted[1])
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
        return [
            StepRows(count, source.max_length, own[name].max_length, preferred) for name, source in data.forget.items()
        ]

    def _preferred(self) -> int:
        """Tokens of the longest preferred answer, at most."""
        if self.datamodule.alternatives is not None:
            return int(self.datamodule.alternatives.max_length)
        path = self.datamodule.preferred or self.datamodule.own_preferred
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"data.preferred: {path} cannot be read ({error}); give a file of answers") from error
        return max((-(-len(line.strip()) // _CHARACTERS) for line in lines), default=0) + 1


def devices(option: Any) -> int:
    """How many devices of a machine an option of the Trainer means, `auto` and -1 being all GPUs, or one processor.

    Example:
        >>> devices(2), devices("0,3"), devices([1])
        (2, 2, 1)
    """
    import torch

    if option in ("auto", -1, "-1"):
        return max(1, torch.cuda.device_count())
    if isinstance(option, Sequence) and not isinstance(option, str):
        return len(option)
    return len([name for name in str(option).split(",") if name]) if "," in str(option) else int(option)
