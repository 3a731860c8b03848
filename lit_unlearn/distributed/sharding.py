"""Sharding: which modules are sharded together, so that running the first layers alone stays possible."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError


def shard(
    updated: PreTrainedModel,
    layers: nn.ModuleList,
    copies: nn.ModuleList,
    mesh: DeviceMesh,
    *,
    needs_logits: bool = False,
) -> None:
    """Shards both models in place.

    Each module with trained parameters, each frozen copy, each decoder layer and each module outside the layers is a
    unit of its own: no unit encloses the whole model, since its forward need not run.

    Args:
        updated: the causal language model, its trainable parameters chosen.
        layers: its decoder layers.
        copies: the frozen model's own modules.
        mesh: from `processes`.
        needs_logits: a loss reads logits. Then an output head that is not trained stays whole on every rank: logits are
            computed in pieces, each of which would gather it.

    Raises:
        InputError: a trained parameter is tied between modules.
    """
    for module in units(updated, layers, copies, needs_logits=needs_logits):
        # Resharded always: a forward without gradient between backward and step would lose the update otherwise.
        fully_shard(module, mesh=mesh, reshard_after_forward=True)


def units(
    updated: PreTrainedModel, layers: nn.ModuleList, copies: nn.ModuleList, *, needs_logits: bool = False
) -> list[nn.Module]:
    """The modules that are sharded each for itself, in whole models alike; arguments and errors are those of `shard`.

    What one encloses comes before it, and what is in none stays whole.
    """
    outside, whole = outside_layers(updated, layers), left_whole(updated, layers, needs_logits=needs_logits)
    if any(_trains(module) for module in _tied(outside)):
        raise InputError(
            "model.trainable: a parameter tied between two modules cannot be trained in a sharded model; leave it "
            "out, or use DDP"
        )
    trained = [module for layer in layers for module in layer.modules() if _trains(module)]
    loaded = [layer for layer in layers if next(layer.parameters(), None) is not None]
    return [*trained, *copies, *loaded, *(module for module in outside if module not in whole)]


def outside_layers(updated: PreTrainedModel, layers: nn.ModuleList) -> list[nn.Module]:
    """The modules outside the decoder layers that have parameters of their own."""
    inside = {id(module) for layer in layers for module in layer.modules()}
    return [module for module in updated.modules() if id(module) not in inside and _owned(module)]


def left_whole(updated: PreTrainedModel, layers: nn.ModuleList, *, needs_logits: bool) -> list[nn.Module]:
    """The untrained modules that every process holds whole: tied ones, and an output head whose logits are read."""
    outside, head = outside_layers(updated, layers), updated.get_output_embeddings()
    whole = [*_tied(outside), *([head] if needs_logits and head is not None else [])]
    return [module for module in whole if not _trains(module)]


def processes(mesh: DeviceMesh, replicas: int) -> DeviceMesh:
    """The processes over which a model is sharded; with replicas, one row for each copy (HSDP).

    Consecutive processes, such as those of a machine, hold a copy together. Every process must call it.

    Args:
        mesh: of ModelParallelStrategy.
        replicas: copies of the model; their number divides that of the processes.
    """
    if replicas == 1:
        return mesh["data_parallel"]
    shape = (replicas, mesh["data_parallel"].size() // replicas)
    return init_device_mesh(mesh.device_type, shape, mesh_dim_names=("replicate", "shard"))


def most_calls(module: nn.Module | None, calls: int) -> int:
    """How often each process has to call a module of which the processes call their own numbers of times.

    Where its weights are sharded a call is a collective one, and all processes must ask.

    Args:
        module: the module.
        calls: that this process has to make.
    """
    if module is None or not _is_sharded(module):
        return calls
    most = torch.tensor(calls, device=next(module.parameters()).device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return int(most)


def gathered(value: Any) -> Tensor:
    """A tensor or what all processes together hold of one, detached; where it is sharded, all of them must call it."""
    tensor: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return tensor.detach()


def gathered_parameter(model: nn.Module, name: str) -> Tensor:
    """As `gathered`, of a parameter by its name; under FSDP1 of one whose module is a unit of its own."""
    path, _, own = name.rpartition(".")
    owner = model.get_submodule(path)
    if not isinstance(owner, FullyShardedDataParallel):
        return gathered(owner.get_parameter(own))
    with FullyShardedDataParallel.summon_full_params(owner, recurse=False, writeback=False):
        return owner.get_parameter(own).detach().clone()


def named_parameters(model: nn.Module, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters by the names that they have in a model that is not sharded, to which FSDP1 adds its own."""
    for name, parameter in model.named_parameters(remove_duplicate=remove_duplicate):
        yield plain_name(name), parameter


def plain_name(name: str) -> str:
    """The name of a module or parameter without what FSDP1 adds.

    Example:
        >>> plain_name("model.layers.5._fsdp_wrapped_module.mlp.down_proj._fsdp_wrapped_module.weight")
        'model.layers.5.mlp.down_proj.weight'
    """
    return name.replace("_fsdp_wrapped_module.", "")


def _is_sharded(module: nn.Module) -> bool:
    wrapped = isinstance(module, FullyShardedDataParallel)
    return wrapped or any(isinstance(parameter, DTensor) for parameter in module.parameters())


def _owned(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters(recurse=False)}


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _tied(modules: list[nn.Module]) -> list[nn.Module]:
    """Modules that share a parameter with another."""
    return [module for module in modules if any(_owned(module) & _owned(other) for other in modules if other != module)]
