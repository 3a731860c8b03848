"""What a checkpoint says of its run, and whether another run may resume from it."""

from typing import TypedDict

from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout


class RunIdentity(TypedDict):
    """What a run and one that goes on with it have in common."""

    shapes: dict[str, list[int]]
    """Shapes of the trained parameters, by name."""
    scalings: dict[str, float]
    """What the products of LoRA's adapters are multiplied by, by the names of their modules."""
    seeds: dict[str, int]
    """Seeds of noise and steering vectors, by module."""


def check_checkpoint(held: RunIdentity | None, own: RunIdentity, *, seeds: bool) -> None:
    """A checkpoint is of a run like this one.

    Args:
        held: what the checkpoint says of its run; None if it is not one of ours.
        own: the same of this run.
        seeds: whether training goes on, so that noise and steering vectors must too.

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
