"""Whether losses, noise and numbers per topic fit together."""

import math
from collections.abc import Sequence

from torch import nn

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Loss, PerTopic
from lit_unlearn.losses.no_loss import NoLoss


def check_streams(forget: Loss, retain: Loss) -> None:
    """Each loss is given to the stream it is made for.

    Raises:
        InputError: it is not, or neither stream has one.
    """
    if isinstance(forget, NoLoss) and isinstance(retain, NoLoss):
        raise InputError("model.forget and model.retain: both are NoLoss, so nothing would be trained; give one a loss")
    for stream, loss, others in (("forget", forget, "RMU or NPO"), ("retain", retain, "RepresentationMSE or LogitKL")):
        if loss.stream not in (None, stream):
            raise InputError(
                f"model.{stream}: {type(loss).__name__} is a {loss.stream} loss and would do the opposite here; take a "
                f"{stream} loss, e.g. {others}"
            )


def check_gradients(forget: Loss, retain: Loss, rule: str) -> None:
    """There are two gradients where they are kept apart.

    Raises:
        InputError: there is one.
    """
    if rule != "sum" and (isinstance(forget, NoLoss) or isinstance(retain, NoLoss)):
        raise InputError(
            f"model.gradients: {rule} keeps the gradients of two losses apart, and one of model.forget and "
            "model.retain is NoLoss; set it to sum"
        )


def check_options(retain: Loss, *, layer: int, noise_layer: int, noise_scale: float) -> None:
    """The steering layer and the noise fit each other and the retain loss.

    Raises:
        InputError: they do not.
    """
    if layer < 0:
        raise InputError(f"model.layer: {layer} is not the index of a decoder layer; count from 0")
    if not (math.isfinite(noise_scale) and noise_scale >= 0):
        raise InputError(f"model.noise_scale: {noise_scale} is not a standard deviation; give 0 or more")
    name = type(retain).__name__
    if noise_scale > 0 and not retain.needs_frozen:
        raise InputError(
            f"model.noise_scale: {name} does not read the frozen model, so noise cannot act; set noise_scale to 0, or "
            "take a retain loss that does, e.g. RepresentationMSE or LogitKL"
        )
    if noise_scale > 0 and noise_layer > layer and not retain.needs_logits:
        raise InputError(
            f"model.noise_layer: {noise_layer} lies above layer {layer}, the last that {name} reads; set it to {layer} "
            "or less"
        )


def check_lower_layers(losses: Sequence[Loss], *, layer: int, state_unit: str) -> None:
    """The further layers that losses read lie below the steering layer, and their states are read as they are.

    Raises:
        InputError: they do not, or are not.
    """
    for loss in losses:
        name = f"model.{loss.stream}.lower_layers"
        for index in loss.lower_layers:
            if not 0 <= index < layer:
                raise InputError(
                    f"{name}: {index} does not lie below the steering layer, {layer}; give indices from 0 to below it"
                )
        if len(set(loss.lower_layers)) < len(loss.lower_layers):
            raise InputError(f"{name}: {list(loss.lower_layers)} names a layer twice; remove one")
        if loss.lower_layers and state_unit != "absolute":
            raise InputError(
                f"model.state_unit: {state_unit} is measured after the steering layer, and {type(loss).__name__} reads "
                f"other layers too; set it to absolute, or remove {name}"
            )


def check_topics(module: nn.Module, topics: Sequence[str]) -> None:
    """Every per-topic list in the module has one number per topic of the data.

    Raises:
        InputError: it has not.
    """
    for name, option in module.named_modules():
        values = option.values if isinstance(option, PerTopic) else None
        if isinstance(values, list) and len(values) != len(topics):
            raise InputError(
                f"model.{name}: {len(values)} values for {len(topics)} topics ({', '.join(topics) or 'none named'}); "
                "give one number for all or one for each"
            )


def check_numbers(module: nn.Module) -> None:
    """Every number per topic in the module is finite, and no retain weight below 0.

    Raises:
        InputError: one is not.
    """
    for name, option in module.named_modules():
        values = option.values if isinstance(option, PerTopic) else 0.0
        if not all(map(math.isfinite, values if isinstance(values, list) else [values])):
            raise InputError(f"model.{name}: {values} cannot be; give finite numbers")
        if name == "retain_weight" and min(values if isinstance(values, list) else [values], default=0.0) < 0:
            raise InputError(f"model.{name}: {values} would drive the retain loss up; give 0 or more")
