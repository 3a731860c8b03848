"""FSDP1: Lightning's FSDPStrategy with this package's units, names and dtypes."""

from functools import cached_property
from typing import Any, ClassVar, Protocol, cast

import lightning as L
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullyShardedDataParallel,
    MixedPrecision,
    StateDictType,
)
from torch.distributed.fsdp.wrap import CustomPolicy
from torch.optim import Optimizer

from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.errors import InputError


class Sharded(Protocol):
    """A LightningModule that says what is sharded together."""

    def units(self) -> list[nn.Module]:
        """The modules that are sharded each for itself."""


class FSDP1(FSDPStrategy):
    """Shards a model by torch's older FullyShardedDataParallel; FSDP2 is Lightning's ModelParallelStrategy.

    Units are chosen as under FSDP2: each module with trained parameters, each frozen copy, each decoder layer and each
    module outside the layers, so that no unit mixes parameters that are trained with others. What is left, weights that
    modules share and an output head that is read in pieces, is whole from a step's forward to its backward.

    Weights keep the dtypes in which they were loaded, gradients that of their weights: FSDPStrategy would compute with
    buffers of the lower precision as well, which the positions of rotary embeddings do not survive.

    Args:
        process_group_backend: None is the device's own.
    """

    needs_gpu: ClassVar[bool] = True

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(
            auto_wrap_policy=cast(Any, CustomPolicy(lambda module: id(module) in self._units)),
            mixed_precision=MixedPrecision(),
            sharding_strategy="FULL_SHARD",  # another keeps what it has gathered, and does not see new weights
            process_group_backend=process_group_backend,
        )

    @cached_property
    def _units(self) -> set[int]:
        modules = cast(Sharded, self.lightning_module).units()
        for module in modules:
            _check_one_dtype(module)
        return {id(module) for module in modules}

    def setup_environment(self) -> None:
        """Finds the other processes.

        Raises:
            InputError: there is no GPU.
        """
        if self.needs_gpu and self.root_device.type != "cuda":
            raise InputError("trainer.strategy: FSDP1 needs GPUs; take -c trainer/ddp.yaml or -c trainer/fsdp2.yaml")
        super().setup_environment()

    def setup(self, trainer: L.Trainer) -> None:
        """Wraps the model.

        Raises:
            InputError: gradients are to be clipped by their norm, or a trained module is not all held in one dtype.
        """
        if trainer.gradient_clip_val and trainer.gradient_clip_algorithm != "value":
            raise InputError(
                "trainer.gradient_clip_val: Lightning cannot clip the norm under FSDP1; take -c trainer/fsdp2.yaml, or "
                "set trainer.gradient_clip_algorithm to value"
            )
        super().setup(trainer)
        # Whatever runs first becomes the root of what it holds, which must be all.
        with FullyShardedDataParallel.summon_full_params(self._root, recurse=False, writeback=False):
            pass

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The trained parameters, whole, in every process."""
        module = self._module
        names = [name for name, parameter in named_parameters(module) if parameter.requires_grad]
        return {name: gathered_parameter(module, name).cpu() for name in names}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of an optimizer, whole, by the names of what it trains, in the first process."""
        inner = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        # On a CPU torch would offload without a copy what the next gathering overwrites.
        given = FullOptimStateDictConfig(rank0_only=True, offload_to_cpu=self.root_device.type != "cpu")
        whole = StateDictType.FULL_STATE_DICT
        with FullyShardedDataParallel.state_dict_type(self._root, whole, optim_state_dict_config=given):
            return FullyShardedDataParallel.optim_state_dict(self._root, inner)

    @property
    def _root(self) -> nn.Module:
        assert self.model is not None
        return self.model

    @property
    def _module(self) -> L.LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module


def _check_one_dtype(module: nn.Module) -> None:
    dtypes = {parameter.dtype for parameter in module.parameters(recurse=False)}
    if len(dtypes) > 1:
        raise InputError(
            f"trainer.precision: FSDP1 holds all of a module's own parameters in one dtype, and those of a "
            f"{type(module).__name__} that are trained are in float32; train its others too (model.trainable), or take "
            "-c trainer/fsdp2.yaml"
        )
