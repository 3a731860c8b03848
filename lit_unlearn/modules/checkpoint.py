"""What a checkpoint holds, and whether a run may resume from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.lora import scalings
from lit_unlearn.modules.optimizer import by_name, check_same_optimizer
from lit_unlearn.modules.units import Units
from lit_unlearn.runs import layout

_IDENTITY, _MEASURED, _UNITS = "lit_unlearn", "lit_unlearn_measured", "lit_unlearn_units"
"""Keys of what lit-unlearn adds to Lightning's checkpoints."""


class RunIdentity(TypedDict):
    """What a run and one that resumes it have in common."""

    shapes: dict[str, list[int]]
    """Shapes of the trained parameters, by name."""
    scalings: dict[str, float]
    """What the products of LoRA's adapters are multiplied by, by the names of their modules."""
    seeds: dict[str, int]
    """Seeds of noise and steering vectors, by module."""


def run_identity(module: nn.Module, updated: PreTrainedModel) -> RunIdentity:
    """The identity of a run.

    Args:
        module: whose losses and other modules have seeds.
        updated: the model, in which is chosen what is trained; its weights may be on the meta device.
    """
    trained = ((name, parameter) for name, parameter in updated.named_parameters() if parameter.requires_grad)
    shapes = {f"updated.{name}": list(parameter.shape) for name, parameter in trained}
    seeds = {name: inner.seed for name, inner in module.named_modules() if hasattr(inner, "seed")}
    return {"shapes": shapes, "scalings": scalings(updated), "seeds": seeds}


def reduce_checkpoint(
    checkpoint: dict[str, Any],
    identity: RunIdentity,
    measured: Mapping[str, Tensor],
    units: Units | None,
    trained: Mapping[str, Tensor],
    optimizers: Sequence[Optimizer],
) -> None:
    """Leaves the trained parameters alone in a checkpoint, and adds what a resumed run is checked against.

    Args:
        checkpoint: Lightning's, changed in place.
        identity: of the run.
        measured: the latest measurements by name.
        units: the model's, where an option needs them.
        trained: the trained parameters by their names in the module.
        optimizers: whose states get the names of what they train; none where the model is sharded.
    """
    checkpoint[_IDENTITY] = identity
    checkpoint[_UNITS] = None if units is None else units._asdict()
    checkpoint[_MEASURED] = {name: value.item() for name, value in measured.items()}
    checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name in trained}
    if "optimizer_states" in checkpoint and optimizers:  # with save_weights_only there are none
        checkpoint["optimizer_states"] = [
            by_name(state, optimizer, trained)
            for state, optimizer in zip(checkpoint["optimizer_states"], optimizers, strict=True)
        ]


def measured_in(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The latest measurements of the run that wrote a checkpoint."""
    return {name: torch.tensor(value) for name, value in checkpoint.get(_MEASURED, {}).items()}


def units_in(checkpoint: Mapping[str, Any]) -> Units | None:
    """The model's units in the run that wrote a checkpoint; None where it needed none."""
    found = checkpoint.get(_UNITS)
    return None if found is None else Units(**found)


def check_resumable(
    checkpoint: Mapping[str, Any],
    own: RunIdentity,
    optimizer: Optimizer | None,
    scheduler: Callable[[Optimizer], object] | None,
) -> None:
    """A loaded checkpoint is of a run like this one.

    Args:
        checkpoint: Lightning's.
        own: the identity of this run.
        optimizer: with this run's options; None where nothing is trained, so that it and the seeds may differ.
        scheduler: makes this run's of an optimizer; None if there is none.

    Raises:
        InputError: names, shapes, seeds or options of the optimizer differ.
    """
    check_checkpoint(checkpoint.get(_IDENTITY), own, seeds=optimizer is not None)
    if optimizer is not None:
        groups = [group for state in checkpoint.get("optimizer_states", []) for group in state["param_groups"]]
        check_same_optimizer(groups, optimizer, scheduler)


def check_checkpoint(held: RunIdentity | None, own: RunIdentity, *, seeds: bool) -> None:
    """A checkpoint is of a run like this one.

    Args:
        held: what the checkpoint says of its run; None if it is not one of ours.
        own: the same of this run.
        seeds: whether training resumes, so that noise and steering vectors must be the same.

    Raises:
        InputError: it is of another model, other trained parameters or other seeds.
    """
    if held is None:
        raise InputError(
            f"ckpt_path: not a checkpoint of lit-unlearn; give a file such as RUN/{layout.LAST_CHECKPOINT}"
        )
    names = held["shapes"].keys() | own["shapes"].keys()
    differing = sorted(name for name in names if held["shapes"].get(name) != own["shapes"].get(name))
    if differing:
        raise InputError(
            f"ckpt_path: made with another model or other trained parameters, e.g. {', '.join(differing[:3])}; resume "
            "with the model.pretrained, model.layer, model.trainable and model.lora of the run that wrote it"
        )
    if held.get("scalings", {}) != own["scalings"]:
        raise InputError(
            "ckpt_path: made with adapters that act more or less; resume with the model.lora.lora_alpha of the run "
            "that wrote it"
        )
    if seeds and held["seeds"] != own["seeds"]:
        raise InputError(
            f"ckpt_path: made with seeds {held['seeds']}, this run has {own['seeds']}; resume with the same "
            "model.seed, model.forget and seed_everything"
        )
