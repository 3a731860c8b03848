"""The trained matrices of a model, as a repair sees them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lit_unlearn.distributed.sharding import named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.models.lora import adapted


class Matrix(NamedTuple):
    """A trained matrix and what it was before training."""

    name: str
    """Of its parameter in the model."""
    layer: int
    """Index of the decoder layer that it lies in."""
    module: nn.Module
    """A Linear or a Conv1D."""
    original: Tensor
    """The parameter before training."""

    @property
    def weight(self) -> nn.Parameter:
        """The parameter as it is."""
        return self.module.get_parameter("weight")

    @property
    def width(self) -> int:
        """Of its inputs."""
        return self.weight.shape[0 if isinstance(self.module, Conv1D) else 1]

    def change(self) -> Tensor:
        """What training has added, float64 `[out, in]`."""
        # float64 is not available on MPS.
        weight, original = (one.detach().cpu() if one.is_mps else one.detach() for one in (self.weight, self.original))
        change = weight.double() - original.double()
        return change.T if isinstance(self.module, Conv1D) else change

    def put(self, change: Tensor) -> None:
        """Makes the weight the original plus a change `[out, in]`."""
        turned = change.T if isinstance(self.module, Conv1D) else change
        with torch.no_grad():
            self.weight.copy_(self.original.to(turned.device).double() + turned)


def trained_matrices(model: nn.Module, layers: nn.ModuleList, originals: Mapping[str, Tensor]) -> list[Matrix]:
    """The matrices that a repair changes: all that is trained.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        originals: every trained parameter before training, by its name in the model.

    Raises:
        InputError: something else is trained than untied matrices of linear modules in the decoder layers.
    """
    if adapters := adapted(model):
        raise InputError(
            f"Repairs: model.lora trains adapters ({next(iter(adapters))} and others), whose product has a rank that a "
            "repaired change would not have; train the matrices themselves by model.trainable, or export the merged "
            "model and leave it as it is"
        )
    indices = {id(module): index for index, layer in enumerate(layers) for module in layer.modules()}
    every = list(named_parameters(model, remove_duplicate=False))
    found = []
    for name, original in originals.items():
        path, _, own = name.rpartition(".")
        module = model.get_submodule(path)
        shared = sum(parameter is module.get_parameter(own) for _, parameter in every) > 1
        if own != "weight" or not isinstance(module, nn.Linear | Conv1D) or id(module) not in indices or shared:
            raise InputError(
                f"Repairs: {name} is trained, and only untied matrices of linear modules in the decoder layers can be "
                "repaired; leave it out of model.trainable, or take Interpolation"
            )
        found.append(Matrix(name, indices[id(module)], module, original))
    return found


def in_order(matrices: Sequence[Matrix], called: Sequence[tuple[nn.Module, Tensor]]) -> list[list[Matrix]]:
    """The matrices in the order of the forward, those that are given the same inputs together.

    Args:
        matrices: as `trained_matrices` gives them.
        called: the modules in the order in which a forward called them, with what each was given.

    Raises:
        InputError: a matrix was not called, or several times.
    """
    by_module = {id(matrix.module): matrix for matrix in matrices}
    order = [id(module) for module, _ in called]
    for matrix in matrices:
        if order.count(id(matrix.module)) != 1:
            raise InputError(
                f"Repairs: {matrix.name} runs {order.count(id(matrix.module))} times in one forward, and only matrices "
                "that run once can be repaired; leave it out of model.trainable"
            )
    groups: list[list[Matrix]] = []
    for place, (module, given) in enumerate(called):
        if place and given is called[place - 1][1]:
            groups[-1].append(by_module[id(module)])
        else:
            groups.append([by_module[id(module)]])
    return groups
