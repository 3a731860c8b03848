"""LoRA through PEFT: low-rank adapters as another way to say what is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lit_unlearn.distributed.sharding import gathered_parameter, plain_name
from lit_unlearn.errors import InputError
from lit_unlearn.losses.functional import precise
from lit_unlearn.models.lora_targets import check_expression, target_names

_ADAPTER = "default"
"""PEFT's name of the only adapter."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Adapters that are trained instead of the model's own weights (Hu et al. 2022, LoRA).

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
            check_expression(self.target_modules)


def check_installed(what: str = "model.lora:") -> None:
    """PEFT can be imported.

    Args:
        what: needs it, for the error.

    Raises:
        InputError: it is not installed.
    """
    if find_spec("peft") is None:
        raise InputError(f"{what} peft is not installed; pip install 'lit-unlearn[lora]'")


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

    targets = target_names(model, layers, lora.target_modules, lora.layers_to_transform, layer=layer)
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
    return {plain_name(name): module for name, module in model.named_modules() if is_adapted(module)}


def scalings(model: nn.Module) -> dict[str, float]:
    """What the product of each adapter is multiplied by, by the name of its module."""
    return {name: float(module.scaling[_ADAPTER]) for name, module in adapted(model).items()}


def merged_weight(module: Any) -> Tensor:
    """The weight that does what a linear module and its adapter do, in at least float32.

    Where it is sharded every process must call it.
    """
    base, down, up = (
        precise(gathered_parameter(layer, "weight"))
        for layer in (module.base_layer, module.lora_A[_ADAPTER], module.lora_B[_ADAPTER])
    )
    product: Tensor = module.scaling[_ADAPTER] * (up @ down)
    return base + (product.T if isinstance(module.base_layer, Conv1D) else product)


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
