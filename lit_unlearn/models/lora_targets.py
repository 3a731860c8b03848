"""Which modules of a model get LoRA adapters.

PEFT says which names a target matches. Its `all-linear` and its `layers_to_transform` go by names alone, and would take
modules outside the decoder layers, such as those of an encoder of images: these two go by the model's layers here.
"""

import re
from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lit_unlearn.errors import InputError
from lit_unlearn.models.layers import mlp_output, mlp_output_weights, published_layers


def check_expression(pattern: str) -> None:
    """The names of modules are given as a regular expression.

    Raises:
        InputError: it is none.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(f"model.lora.target_modules: {pattern!r} is not a regular expression ({error})") from error


def target_names(
    model: PreTrainedModel,
    layers: nn.ModuleList,
    wanted: Sequence[str] | str | None,
    indices: Sequence[int] | None,
    *,
    layer: int,
) -> list[str]:
    """Whole names of the modules that get adapters.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        wanted: names or their ends, a regular expression, `all-linear`, or None.
        indices: of the layers in which names are looked for; None is all.
        layer: index of the steering layer.

    Raises:
        InputError: there is no such module or layer, or a module cannot have an adapter.
    """
    if wanted is None:
        names = _mlp_outputs(model, layers, layer)
    elif isinstance(wanted, str):
        names = _matching(model, wanted, layers)
    elif indices is None:
        names = _ending(wanted, [name for name, _ in model.named_modules()], "")
    else:
        _check_selection(model, wanted, indices, len(layers))
        chosen = [name for index in indices for name in _names(model, layers[index])]
        names = _ending(wanted, chosen, f" in layers {list(indices)}")
    _check(model, names, layers)
    return names


def _names(model: nn.Module, part: nn.Module) -> list[str]:
    """The names in the model of a part's modules."""
    inside = {id(module) for module in part.modules()}
    return [name for name, module in model.named_modules() if id(module) in inside]


def _mlp_outputs(model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> list[str]:
    """Names of the modules that are trained where none are named."""
    names = {id(module): name for name, module in model.named_modules()}
    found = []
    for index in published_layers(layer):
        output = mlp_output(layers[index])
        if output is None:
            inner = ", ".join(name for name, module in layers[index].named_modules() if _is_linear(module))
            experts = bool(mlp_output_weights(layers[index]))
            missing = "stacked experts, which cannot have adapters" if experts else "not found"
            raise InputError(
                f"{type(model).__name__}: layer {index}'s MLP output projection is {missing}; set "
                f"model.lora.target_modules to names of modules, e.g. [NAME] with NAME among {inner}, and "
                f"model.lora.layers_to_transform to {list(published_layers(layer))}"
            )
        found.append(names[id(output)])
    return found


def _matching(model: PreTrainedModel, pattern: str, layers: nn.ModuleList) -> list[str]:
    """The modules whose whole name a regular expression matches, or all linear ones."""
    if pattern == "all-linear":
        return [name for name in _names(model, layers) if _is_linear(model.get_submodule(name))]
    found = _matched(pattern, [name for name, _ in model.named_modules() if name])
    if not found:
        raise InputError(
            f"model.lora.target_modules: {pattern!r} matches the whole name of no module; give names, e.g. "
            "[q_proj, v_proj], or an expression such as '.*_proj'"
        )
    return found


def _ending(wanted: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """Those of the names that are wanted or end in what is."""
    for target in wanted:
        if not _matched([target], names):
            raise InputError(
                f"model.lora.target_modules: {target!r} is the name or the end of the name of no module{where}"
            )
    return _matched(wanted, names)


def _matched(wanted: Sequence[str] | str, names: Sequence[str]) -> list[str]:
    """Those of the names that PEFT's rules match: whole names or their ends, or one regular expression."""
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    config = LoraConfig(target_modules=wanted if isinstance(wanted, str) else list(wanted))
    return [name for name in names if check_target_module_exists(config, name)]


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _check_selection(model: nn.Module, wanted: Sequence[str], indices: Sequence[int], count: int) -> None:
    """The layers exist, and there is something to select from."""
    for index in indices:
        if not 0 <= index < count:
            raise InputError(
                f"model.lora.layers_to_transform: {index} is out of range; the model has layers 0 to {count - 1}"
            )
    whole = set(wanted) & dict(model.named_modules()).keys()
    if whole:
        raise InputError(
            f"model.lora.layers_to_transform: {min(whole)!r} in model.lora.target_modules is the whole name of one "
            "module, among which no layer can be selected; give its end, or leave one of the two options out"
        )


def _check(model: PreTrainedModel, names: Sequence[str], layers: nn.ModuleList) -> None:
    """Every module can have an adapter that acts as documented and can be merged."""
    inside = set(_names(model, layers))
    owners = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    for name in names:
        module = model.get_submodule(name)
        if not _is_linear(module):
            reason = f"is of class {type(module).__name__}, not a linear module"
        elif name not in inside:
            reason = "lies outside the decoder layers, and adapters are for these alone"
        elif owners.count(id(module.weight)) > 1:
            reason = "shares its weight with another module, so an adapter of it alone could not be merged"
        else:
            continue
        raise InputError(f"model.lora.target_modules: {name} {reason}; leave it out")
