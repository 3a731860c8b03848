"""LoRA through PEFT: low-rank adapters as another way to say what is trained."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lit_unlearn.errors import InputError
from lit_unlearn.functional import precise
from lit_unlearn.models import mlp_output, published_layers
from lit_unlearn.sharding import gathered

_ADAPTER = "default"
"""PEFT's name of the only adapter."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Adapters that are trained in place of the model's own weights (Hu et al. 2022, LoRA).

    What a linear module returns for x gets lora_alpha / r · B · A · x added. A is drawn by the module's seed, B is 0
    before training. Options have PEFT's names and meanings.

    Raises:
        InputError: an option cannot be.
    """

    r: int = 16
    """Rank of the adapters."""
    lora_alpha: int = 32
    """The adapters' product is multiplied by lora_alpha / r."""
    lora_dropout: float = 0.0
    """Share of x that is dropped before A, in training and in decoder layers."""
    target_modules: list[str] | str | None = None
    """Names of linear modules of decoder layers, or how they end (`[q_proj, v_proj]`); or one regular expression to
    match their whole names, or `all-linear`. None takes the MLP output projections of layers l-2 to l."""
    layers_to_transform: list[int] | None = None
    """Indices of the layers in which names in a list of `target_modules` are looked for; None is all."""

    def __post_init__(self) -> None:
        if self.r < 1:
            raise InputError(f"model.lora.r: {self.r} is not a rank; give 1 or more")
        if self.lora_alpha <= 0:
            raise InputError(f"model.lora.lora_alpha: {self.lora_alpha} would undo what is learnt; give more than 0")
        if not 0 <= self.lora_dropout < 1:
            raise InputError(f"model.lora.lora_dropout: {self.lora_dropout} is not a rate; give 0 or more, below 1")
        if self.target_modules is not None and not self.target_modules:
            raise InputError("model.lora.target_modules: none named; leave it out for the MLP output projections")
        if self.layers_to_transform is not None and not self.layers_to_transform:
            raise InputError("model.lora.layers_to_transform: none named; leave it out for all layers")
        if self.layers_to_transform is not None and not isinstance(self.target_modules, list):
            raise InputError(
                "model.lora.layers_to_transform: it selects among a list of names; give one as "
                "model.lora.target_modules, e.g. [q_proj, v_proj], or say the layers in its regular expression"
            )
        if isinstance(self.target_modules, str):
            _check_expression(self.target_modules)


def check_installed() -> None:
    """PEFT can be imported.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("peft") is None:
        raise InputError("model.lora: peft is not installed; pip install 'lit-unlearn[lora]'")


def inject(model: PreTrainedModel, lora: Lora, layers: nn.ModuleList, *, layer: int, seed: int) -> None:
    """Adds adapters to a model in place and makes them, and nothing else, trainable.

    Args:
        model: a causal language model.
        lora: which adapters.
        layers: its decoder layers.
        layer: index of the steering layer.
        seed: of A, whatever the global generator, the device and the number of processes.

    Raises:
        InputError: there is no such module or layer, or a module cannot have an adapter.
    """
    import peft

    targets = _targets(model, lora, layers, layer)
    _check_targets(model, targets, layers)
    # PEFT draws from the CPU's global generator, in the default dtype.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(_config(model, lora, targets), model, _ADAPTER)
        except ValueError as error:
            raise InputError(f"model.lora: {' '.join(str(error).split())}") from error
    model.eval()  # what was added is not yet


def is_adapted(module: nn.Module) -> bool:
    """Whether this is a linear module with an adapter: PEFT's, which keeps the model's own as `base_layer`."""
    return {"base_layer", "lora_A", "lora_B"} <= module._modules.keys()


def adapted(model: nn.Module) -> dict[str, Any]:
    """The linear modules with adapters by their names."""
    return {name: module for name, module in model.named_modules() if is_adapted(module)}


def scalings(model: nn.Module) -> dict[str, float]:
    """What the product of each adapter is multiplied by, by the name of its module."""
    return {name: float(module.scaling[_ADAPTER]) for name, module in adapted(model).items()}


def merged_weight(module: Any) -> Tensor:
    """The weight that does what a linear module and its adapter do, in at least float32.

    Under FSDP2 every process must call it.
    """
    base, down, up = (
        precise(gathered(layer.weight))
        for layer in (module.base_layer, module.lora_A[_ADAPTER], module.lora_B[_ADAPTER])
    )
    product: Tensor = module.scaling[_ADAPTER] * (up @ down)
    return base + (product.T if isinstance(module.base_layer, Conv1D) else product)


def plain_name(name: str) -> str | None:
    """The name of a parameter or buffer in the model without adapters; None for those of an adapter.

    Example:
        >>> plain_name("layers.0.mlp.down_proj.base_layer.weight")
        'layers.0.mlp.down_proj.weight'
        >>> plain_name("layers.0.mlp.down_proj.lora_A.default.weight") is None
        True
    """
    return None if ".lora_A." in name or ".lora_B." in name else name.replace(".base_layer.", ".")


def save_adapter(folder: Path, model: PreTrainedModel, lora: Lora, trained: dict[str, Tensor], **base: str) -> None:
    """Writes the adapters for `PeftModel.from_pretrained`.

    Args:
        folder: where to.
        model: the model with adapters.
        lora: its options.
        trained: the adapters' parameters by their names in the model.
        base: `base_model_name_or_path` and `revision` of the model without them.
    """
    import peft
    from safetensors.torch import save_file

    config = _config(model, lora, sorted(adapted(model)), task_type="CAUSAL_LM", inference_mode=True, **base)
    config.save_pretrained(folder)
    named = peft.get_peft_model_state_dict(model, trained, _ADAPTER, save_embedding_layers=False)
    tensors = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in named.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _config(model: nn.Module, lora: Lora, targets: Sequence[str], **options: Any) -> Any:
    import peft

    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=list(targets),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        **options,
    )


def _check_expression(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(f"model.lora.target_modules: {pattern!r} is not a regular expression ({error})") from error


def _targets(model: PreTrainedModel, lora: Lora, layers: nn.ModuleList, layer: int) -> list[str]:
    """Whole names of the modules that get adapters."""
    wanted = lora.target_modules
    if wanted is None:
        return _mlp_outputs(model, layers, layer)
    if isinstance(wanted, str):
        return _matching(model, wanted, layers)
    if lora.layers_to_transform is None:
        return _ending(wanted, [name for name, _ in model.named_modules()], "")
    _check_selection(model, wanted, lora.layers_to_transform, len(layers))
    chosen = [name for index in lora.layers_to_transform for name in _names(model, layers[index])]
    return _ending(wanted, chosen, f" in layers {lora.layers_to_transform}")


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
            raise InputError(
                f"{type(model).__name__}: layer {index}'s MLP output projection is not found; set "
                f"model.lora.target_modules to names of modules, e.g. [NAME] with NAME among {inner}, and "
                f"model.lora.layers_to_transform to {list(published_layers(layer))}"
            )
        found.append(names[id(output)])
    return found


def _matching(model: PreTrainedModel, pattern: str, layers: nn.ModuleList) -> list[str]:
    """The modules whose whole name a regular expression matches, or all linear ones."""
    if pattern == "all-linear":
        return [name for name in _names(model, layers) if _is_linear(model.get_submodule(name))]
    found = [name for name, _ in model.named_modules() if name and re.fullmatch(pattern, name)]
    if not found:
        raise InputError(
            f"model.lora.target_modules: {pattern!r} matches the whole name of no module; give names, e.g. "
            "[q_proj, v_proj], or an expression such as '.*_proj'"
        )
    return found


def _ending(wanted: Sequence[str], names: Sequence[str], where: str) -> list[str]:
    """Those of the names that are wanted or end in what is."""
    for target in wanted:
        if not any(_ends(name, target) for name in names):
            raise InputError(
                f"model.lora.target_modules: {target!r} is the name or the end of the name of no module{where}"
            )
    return [name for name in names if any(_ends(name, target) for target in wanted)]


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


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


def _check_targets(model: PreTrainedModel, targets: Sequence[str], layers: nn.ModuleList) -> None:
    """Every module can have an adapter that acts as documented and can be merged."""
    inside = set(_names(model, layers))
    owners = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    for name in targets:
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
