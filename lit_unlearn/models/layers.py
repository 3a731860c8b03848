"""The parts of a model: its decoder layers, their MLP outputs, what lies below and above what is trained."""

import inspect
import re
from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError

_LAYER_LISTS = ("layers", "h", "blocks", "block")


_MLP_OUTPUTS = (
    "mlp.down_proj",
    "mlp.dense_4h_to_h",
    "mlp.c_proj",
    "mlp.fc2",
    "mlp.fc_out",
    "feed_forward.down_proj",
    "feed_forward.w2",
    "fc2",
)
_EXPERT_OUTPUTS = re.compile(
    r"(.+\.)?(experts(\.\d+)?|shared_experts?|shared_mlp|mlps\.\d+)\.(down_proj|output_linear|w2)(\.weight)?"
)
"""Names of parameters in a layer with experts: stacked in one parameter or a module each, routed or shared."""


def decoder_layers(model: PreTrainedModel, name: str | None = None) -> nn.ModuleList:
    """The list of decoder layers.

    Args:
        model: a causal language model.
        name: the list's dotted name in the model, where it cannot be found.

    Raises:
        InputError: there is no such list, or none is found; the message says what to set. Or the model is none that
            takes positions as these are counted here.
    """
    found = _found_list(model) if name is None else _named(model, name)
    _check_positions(model, found)
    if isinstance(found, nn.ModuleList) and len(found) > 0:
        return found
    lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    looked = f"no list of decoder layers {'found' if name is None else f'is named {name!r}'}"
    raise InputError(f"{type(model).__name__}: {looked}; set model.decoder_layers to one of {lists}")


def decoder_of(model: PreTrainedModel, layers: nn.ModuleList) -> nn.Module:
    """The decoder: the innermost module that holds the list of layers and takes token ids.

    `get_decoder()` of some models is the model itself, or a part that holds more than the decoder.

    Args:
        model: a causal language model.
        layers: its decoder layers.

    Raises:
        InputError: no part of the model is such a module.
    """
    path = next(path for path, module in model.named_modules() if module is layers)
    while "." in path:
        path = path.rpartition(".")[0]
        module = model.get_submodule(path)
        if "input_ids" in inspect.signature(module.forward).parameters:
            return module
    raise InputError(
        f"{type(model).__name__}: no part of it runs the decoder layers from token ids to final states, so this model "
        "cannot be run in part; choose another model"
    )


def published_layers(layer: int) -> range:
    """Indices of the layers l-2 to l that the published recipe trains."""
    return range(max(0, layer - 2), layer + 1)


def mlp_output(layer: nn.Module) -> nn.Module | None:
    """The output projection of a decoder layer's MLP; None if it is not found."""
    inside = dict(layer.named_modules())
    return next((inside[path] for path in _MLP_OUTPUTS if path in inside), None)


def mlp_output_weights(layer: nn.Module) -> list[str]:
    """Names in a decoder layer of its MLP's output weights, those of all experts where it has any; may be empty.

    Routers and gates are none of them.

    Example:
        >>> mlp_output_weights(nn.ModuleDict({"mlp": nn.ModuleDict({"down_proj": nn.Linear(4, 2)})}))
        ['mlp.down_proj.weight']
    """
    dense = mlp_output(layer)
    names = {id(parameter): name for name, parameter in layer.named_parameters()}
    experts = [name for name in names.values() if _EXPERT_OUTPUTS.fullmatch(name)]
    if experts:
        return experts
    return [] if dense is None else [names[id(dense.weight)]]


def first_trained_layer(model: PreTrainedModel, layers: nn.ModuleList) -> int:
    """Index of the first layer whose output training can change; 0 if anything outside the layers is trained."""
    if trained_outside(model, layers):
        return 0
    return next(index for index, layer in enumerate(layers) if _trained(layer.parameters()))


def trained_outside(model: PreTrainedModel, layers: nn.ModuleList) -> bool:
    """Whether a parameter outside the decoder layers is trained."""
    return any(_trained(module.parameters(recurse=False)) for module in _outside(model, layers))


def trained_above(model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> list[str]:
    """Names of trainable parameters that come after `layer`, which a loss on hidden states does not reach."""
    reached = {id(parameter) for module in layers[: layer + 1] for parameter in module.parameters()}
    named = list(model.named_parameters())
    last = max(index for index, (_, parameter) in enumerate(named) if id(parameter) in reached)
    return [name for name, parameter in named[last + 1 :] if parameter.requires_grad]


def _found_list(model: PreTrainedModel) -> nn.Module | None:
    """The list of layers in what the model calls its decoder, or, where that is something else, in one of its parts."""
    parts = [model.get_decoder(), *model.children()]
    return next((getattr(part, name) for part in parts for name in _LAYER_LISTS if hasattr(part, name)), None)


def _named(model: PreTrainedModel, name: str) -> nn.Module | None:
    """The module of a dotted name; None if there is none."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


def _outside(module: nn.Module, layers: nn.Module | None) -> Iterator[nn.Module]:
    """The module and those in it, but nothing of the layers: what is called at every step does not walk through all."""
    if module is not layers:
        yield module
        for child in module.children():
            yield from _outside(child, layers)


def _trained(parameters: Iterator[nn.Parameter]) -> bool:
    return any(parameter.requires_grad for parameter in parameters)


def _check_positions(model: PreTrainedModel, layers: nn.Module | None) -> None:
    """Positions of real tokens count from 0; RoBERTa's and its relatives' count from behind the padding token's id."""
    tables = (getattr(module, "position_embeddings", None) for module in _outside(model, layers))
    if any(isinstance(table, nn.Embedding) and table.padding_idx is not None for table in tables):
        raise InputError(
            f"model.pretrained: {type(model).__name__} counts positions from its padding token's id, and only models "
            "that count them from 0 are supported; choose another model"
        )
