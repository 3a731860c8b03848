"""The frozen model at the cost of its trained parameters."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.models.lora import adapted, is_adapted
from lit_unlearn.running.hooks import swapped


class FrozenModel(nn.Module):
    """The model before training, at the cost of only its trained parameters.

    It owns a copy of each module that owns a trained parameter and shares everything else with the updated model:
    where the copies are used, the updated model computes what the frozen one would. For a module with a LoRA adapter
    the model's own module is used, and nothing is copied.

    Args:
        updated: the model to be trained, its trainable parameters chosen, not yet changed.
        copied: hold the copies; without them it can be asked for nothing where one would be used.
    """

    def __init__(self, updated: PreTrainedModel, *, copied: bool = True) -> None:
        super().__init__()
        memo = {id(tensor): tensor for tensor in _shared_tensors(updated)}
        trained = _owners_of_trained(updated)
        owners = trained if copied else []
        self._whole = len(owners) == len(trained)
        self.copies = nn.ModuleList(copy.deepcopy(module, memo).requires_grad_(False) for _, _, module in owners)
        self._copied = tuple(".".join(filter(None, (parent, name))) for parent, name, _ in owners)
        # Tuples, not modules of ours: the updated model owns them.
        self._adapted = tuple(adapted(updated).items())
        self._places = tuple(
            (updated.get_submodule(parent), name)
            for parent, name in (*((parent, name) for parent, name, _ in owners), *map(_split, dict(self._adapted)))
        )
        self._trained = tuple(
            (f"{self._copied[index]}.{inner}", index, inner)
            for index, (_, _, module) in enumerate(owners)
            for inner, parameter in module.named_parameters()
            if parameter.requires_grad
        )
        self._loaded = {name: self.copies[index].get_parameter(inner).dtype for name, index, inner in self._trained}
        self.eval()

    def use_master_weights(self) -> None:
        """Holds its own embeddings and vectors in float32, as the updated model holds them then.

        Autocast takes matrices in its own precision, whatever they are held in, but an embedding or the weight of a
        norm as it is: states of the two models would be of different precision.
        """
        for _, index, inner in self._trained:
            owner = self.copies[index].get_submodule(_split(inner)[0])
            if isinstance(owner, nn.Embedding) or all(own.ndim <= 1 for own in owner.parameters(recurse=False)):
                parameter = self.copies[index].get_parameter(inner)
                parameter.data = parameter.data.float()

    def originals(self) -> dict[str, Tensor]:
        """The trained parameters as they were before training, by their names in the updated model.

        Of a LoRA adapter, B alone, which was 0: then A has no say, and base + t · (updated - base) is t · B with any A.
        """
        assert self._whole
        copied = {name: self.copies[index].get_parameter(inner) for name, index, inner in self._trained}
        return copied | {
            f"{path}.lora_B.{inner}": torch.zeros_like(parameter)
            for path, module in self._adapted
            for inner, parameter in named_parameters(module.lora_B)
        }

    def original(self, name: str) -> Tensor:
        """A parameter of its own modules by its name in the updated model, whole, in the dtype in which it was loaded.

        All processes must ask for it.
        """
        index, inner = next((index, inner) for known, index, inner in self._trained if known == name)
        return gathered_parameter(self.copies[index], inner).to(self._loaded[name])

    def own(self) -> dict[str, nn.Parameter]:
        """The parameters of its own modules, by their names in the updated model."""
        return {
            f"{path}.{inner}": parameter
            for path, module in zip(self._copied, self.copies, strict=True)
            for inner, parameter in module.named_parameters()
        }

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Within this context the updated model is the frozen one."""
        assert self._whole
        # Looked up now: FSDP1 wraps them after they were made.
        stand_ins = [*self.copies, *(module.base_layer for _, module in self._adapted)]
        with swapped([(*place, stand_in) for place, stand_in in zip(self._places, stand_ins, strict=True)]):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """As `standing_in`, without gradient."""
        with torch.no_grad(), self.standing_in():
            yield


def _shared_tensors(model: PreTrainedModel) -> list[Tensor]:
    return [*(parameter for parameter in model.parameters() if not parameter.requires_grad), *model.buffers()]


def _owners_of_trained(model: PreTrainedModel) -> list[tuple[str, str, nn.Module]]:
    """(path of the parent, name, module) of each module with a trained parameter of its own, outermost only.

    LoRA adapters are left out.
    """
    owners: list[tuple[str, str, nn.Module]] = []
    covered: set[int] = set()
    for path, module in model.named_modules():
        if is_adapted(module):
            covered |= {id(child) for child in module.modules()}
        if id(module) in covered or not any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            continue
        if not path:
            raise InputError(
                f"model.trainable: {type(model).__name__} itself owns one of these parameters; leave it out"
            )
        owners.append((*_split(path), module))
        covered |= {id(child) for child in module.modules()}
    return owners


def _split(path: str) -> tuple[str, str]:
    """A module's parent and its name there."""
    parent, _, name = path.rpartition(".")
    return parent, name
