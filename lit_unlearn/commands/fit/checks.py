"""What the command line refuses before Lightning runs."""

from typing import Any

import lightning as L
from lightning.pytorch.strategies import ModelParallelStrategy

from lit_unlearn.errors import InputError


def check_alone(options: Any) -> None:
    """What a model without losses is given and cannot use, or lacks."""
    if options.ckpt_path is not None:
        raise InputError("ckpt_path: only a config with model.forget and model.retain loads one; leave out --model")
    if not options.trainer.callbacks:
        raise InputError(
            "trainer.callbacks: there are none, so nothing would come of the answers; give "
            "--trainer.callbacks+=PerturbationRobustness"
        )


def check_weights_only(options: Any) -> None:
    """Checkpoints are tensors and plain values: nothing in one is run, whatever Lightning's default is."""
    if options.weights_only is False:
        raise InputError(
            "weights_only: false would run code that is in the checkpoint, and those of lit-unlearn hold none; leave "
            "it out"
        )
    options.weights_only = True


def check_sizes(trainer: L.Trainer) -> None:
    """The mesh of ModelParallelStrategy has a place for each process: Lightning would say so in each of them."""
    strategy, processes = trainer.strategy, trainer.num_devices * trainer.num_nodes
    if not isinstance(strategy, ModelParallelStrategy):
        return
    if strategy._tensor_parallel_size != 1:
        raise InputError("trainer.strategy: tensor parallelism is not supported; set tensor_parallel_size to 1")
    if strategy._data_parallel_size != processes:
        raise InputError(
            f"trainer.strategy.data_parallel_size: {strategy._data_parallel_size}, and trainer.devices times "
            f"trainer.num_nodes are {processes} processes; set it to {processes}"
        )


def check_numbers(options: Any) -> None:
    """Numbers that Lightning takes without a look."""
    for name, least in (("accumulate_grad_batches", 1), ("gradient_clip_val", 0), ("log_every_n_steps", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"trainer.{name}: {value} cannot be; give {least} or more")
