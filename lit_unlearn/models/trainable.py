"""What is trained: chosen by regular expressions, by the published recipe, or as adapters."""

import difflib
import re
from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.checks import check_reached
from lit_unlearn.models.layers import mlp_output_weights, published_layers
from lit_unlearn.models.lora import Lora, inject


def default_trainable(model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> list[str]:
    """Names of the MLP output projections of layers l-2..l, what the published recipe trains. Experts have one each.

    Raises:
        InputError: a layer's MLP output projection is not found; the message says what to set.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    chosen = []
    for index in published_layers(layer):
        inside = dict(layers[index].named_parameters())
        outputs = mlp_output_weights(layers[index])
        if not outputs:
            raise InputError(
                f"{type(model).__name__}: layer {index}'s MLP output projection is not found; set model.trainable to "
                rf"""regular expressions over parameter names, e.g. --model.trainable "['.*\.{index}\.NAME']" with """
                f"NAME among {', '.join(inside)}"
            )
        chosen += [names[id(inside[output])] for output in outputs]
    return chosen


def choose_default(model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> list[str]:
    """As `choose_trainable`, with the parameters that `default_trainable` names."""
    return choose_trainable(model, [re.escape(name) for name in default_trainable(model, layers, layer)])


def choose_trainable(model: PreTrainedModel, patterns: Sequence[str]) -> list[str]:
    """Makes exactly the parameters whose whole name matches one of the regular expressions trainable.

    Returns:
        The names of the trainable parameters, in the model's order.

    Raises:
        InputError: there is no expression, or one is none or matches no parameter.
    """
    if not patterns:
        raise InputError("model.trainable: no expression given; leave it out to train the MLP output projections")
    names = [name for name, _ in model.named_parameters()]
    chosen = {name for pattern in patterns for name in _matching(pattern, names)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)
    return [name for name in names if name in chosen]


def use_master_weights(model: PreTrainedModel) -> None:
    """Holds trainable parameters in float32, so that small steps are not rounded away; the others stay as they are."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _matching(pattern: str, names: list[str]) -> list[str]:
    try:
        found = [name for name in names if re.fullmatch(pattern, name)]
    except re.error as error:
        raise InputError(f"model.trainable: {pattern!r} is not a regular expression ({error})") from error
    if not found:
        near = difflib.get_close_matches(pattern.replace("\\", ""), names, n=3, cutoff=0.3)
        raise InputError(
            f"model.trainable: {pattern!r} matches the whole name of no parameter; nearest names: {near or names[-3:]}"
        )
    return found


def choose(
    updated: PreTrainedModel,
    layers: nn.ModuleList,
    *,
    layer: int,
    trainable: Sequence[str] | None,
    lora: Lora | None,
    seed: int,
    needs_logits: bool,
) -> None:
    """Chooses what is trained in a model, in place.

    Args:
        updated: the model; its weights may be on the meta device.
        layers: its decoder layers.
        layer: index of the steering layer.
        trainable: regular expressions over parameter names; None is the default.
        lora: adapters instead.
        seed: of what adapters draw.
        needs_logits: a loss reads logits.

    Raises:
        InputError: what is to be trained is not found, or no loss reaches it.
    """
    if lora is not None:
        inject(updated, lora, layers, layer=layer, seed=seed)
    elif trainable is not None:
        choose_trainable(updated, trainable)
    else:
        choose_default(updated, layers, layer)
    check_reached(updated, layers, layer, needs_logits=needs_logits)
