"""What an attack runs in: one process on one device, which holds the whole model, however that was trained."""

import os

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from lit_unlearn.commands.attack.target import Target
from lit_unlearn.commands.plan.machine_checks import host_memory
from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.precision import weights_dtype


def check_alone() -> None:
    """This process is not one of several that a launcher has started for one run.

    Raises:
        InputError: it is.
    """
    launchers = {
        "torchrun": (TorchElasticEnvironment.detect(), "WORLD_SIZE"),
        "Slurm": (SLURMEnvironment.detect(), "SLURM_NTASKS"),
    }
    for name, (detected, variable) in launchers.items():
        processes = int(os.environ.get(variable, "1"))
        if detected and processes > 1:
            raise InputError(
                f"attack: {name} has {processes} processes for this command, and an attack runs in one, of a model "
                "that was trained under FSDP too; start one process (torchrun is not needed; Slurm: --ntasks 1), and "
                "share the work by --workers, or by the same command on other machines"
            )


def check_memory(target: Target) -> None:
    """The device holds the weights of the model; no weight is loaded.

    Raises:
        InputError: it does not.
    """
    device = target.trainer().strategy.root_device
    if device.type != "cuda" and not hasattr(os, "sysconf"):
        return  # Windows, whose memory Python does not know
    source, dtype = target.source, weights_dtype(target.precision)
    model = loading.without_weights(
        loading.load_config(source), dtype, source.attn_implementation, trust_remote_code=source.trust_remote_code
    )
    needed = sum(parameter.nbytes for parameter in model.parameters())
    there = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else host_memory()
    if needed > there:
        raise InputError(
            f"attack: the weights of {source.given} take {needed / 2**30:.1f} GiB in {target.precision}, and {device} "
            f"has {there / 2**30:.1f} GiB; an attack does not shard a model: take a larger device, or a precision of "
            "fewer bits, such as --trainer.precision=bf16-true"
        )
