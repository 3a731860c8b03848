"""What the command line refuses before Lightning runs."""

from typing import Any

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


def check_numbers(options: Any) -> None:
    """Numbers that Lightning takes without a look."""
    for name, least in (("accumulate_grad_batches", 1), ("gradient_clip_val", 0), ("log_every_n_steps", 0)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"trainer.{name}: {value} cannot be; give {least} or more")
