"""The parts of a model: its decoder layers, their MLP outputs, what lies below and above what is trained."""

from torch import nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError

_LAYER_LISTS = ("layers", "h", "blocks", "block")


_MLP_OUTPUTS = ("mlp.down_proj", "mlp.dense_4h_to_h", "mlp.c_proj", "mlp.fc2", "mlp.fc_out", "feed_forward.w2", "fc2")


def decoder_layers(model: PreTrainedModel, name: str | None = None) -> nn.ModuleList:
    """The list of decoder layers.

    Args:
        model: a causal language model.
        name: the list's dotted name in the model, where it cannot be found.

    Raises:
        InputError: there is no such list, or none is found; the message says what to set.
    """
    if name is None:
        decoder = model.get_decoder()
        found = next((getattr(decoder, child) for child in _LAYER_LISTS if hasattr(decoder, child)), None)
    else:
        found = dict(model.named_modules()).get(name)
    if isinstance(found, nn.ModuleList) and len(found) > 0:
        return found
    lists = [path for path, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    looked = f"no list of decoder layers {'found' if name is None else f'is named {name!r}'}"
    raise InputError(f"{type(model).__name__}: {looked}; set model.decoder_layers to one of {lists}")


def published_layers(layer: int) -> range:
    """Indices of the layers l-2 to l that the published recipe trains."""
    return range(max(0, layer - 2), layer + 1)


def mlp_output(layer: nn.Module) -> nn.Module | None:
    """The output projection of a decoder layer's MLP; None if it is not found."""
    inside = dict(layer.named_modules())
    return next((inside[path] for path in _MLP_OUTPUTS if path in inside), None)


def first_trained_layer(model: PreTrainedModel, layers: nn.ModuleList) -> int:
    """Index of the first layer whose output training can change; 0 if anything outside the layers is trained."""
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    within = [{id(parameter) for parameter in layer.parameters()} & trained for layer in layers]
    if trained - set().union(*within):
        return 0
    return next(index for index, parameters in enumerate(within) if parameters)


def trained_above(model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> list[str]:
    """Names of trainable parameters that come after `layer`, which a loss on hidden states does not reach."""
    reached = {id(parameter) for module in layers[: layer + 1] for parameter in module.parameters()}
    named = list(model.named_parameters())
    last = max(index for index, (_, parameter) in enumerate(named) if id(parameter) in reached)
    return [name for name, parameter in named[last + 1 :] if parameter.requires_grad]
