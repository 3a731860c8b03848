"""Weights of a model that is to be sharded, of which no process need ever hold more than its part."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from lit_unlearn.models import loading
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles


def load(
    source: ModelSource, dtype: torch.dtype, *, sharded: bool, part: FirstLayers | None = None
) -> tuple[PreTrainedModel, WeightFiles | None]:
    """A model as `loading.load_model` has it, or, if it is to be sharded, without values and with its files.

    Where transformers renames or converts weights on loading, or an adapter is merged, the files cannot say which rows
    are whose: then the model has its values already, in every process.

    Args:
        source: where it comes from.
        dtype: of all its weights.
        sharded: it is to be sharded, and then given its values by `fill`.
        part: what is loaded; None is the whole model.

    Raises:
        InputError: there is no such model, or it cannot be loaded.
    """
    if sharded and source.adapter is None:
        files = WeightFiles.of(source)
        model = loading.without_values(source, dtype, part=part)
        missing = [names[0] for names, weight in _named(model) if not _stored(names, weight, model, files)]
        if not missing:
            return model, files
        warnings.warn(
            f"the files of {source.pretrained!r} name {missing[0]} differently from transformers, so every process "
            "loads the whole model before it is sharded; to avoid that save it once with `save_pretrained(FOLDER, "
            "save_original_format=False)`",
            stacklevel=2,
        )
    return loading.load_model(source, dtype, part=part), None


@torch.no_grad()
def fill(model: PreTrainedModel, copies: Mapping[str, nn.Parameter], files: WeightFiles, dtype: torch.dtype) -> None:
    """Reads a model's weights from its files, one after the other; of a sharded one each process reads its rows.

    Adapters keep the values that they were made with.

    Args:
        model: from `load`, made ready: its weights may be sharded, and be held in another dtype than the model's.
        copies: other parameters to fill, by the names of those of the model they are copies of.
        files: of the model.
        dtype: the model's.

    Raises:
        InputError: a weight is NaN or infinite.
    """
    names = {name: names for names, _ in _named(model) for name in names}
    for name, parameter in [*model.named_parameters(), *copies.items()]:
        if ".lora_" not in name:
            stored = _stored(names[name], parameter, model, files)[0]
            target = parameter.to_local() if isinstance(parameter, DTensor) else parameter
            value = files.read(stored, rows=rows(parameter)).to(dtype)
            loading.check_finite_weight(str(model.config.name_or_path), name, value)
            target.copy_(value)


def rows(parameter: Tensor) -> slice:
    """This process's rows of a parameter, which FSDP2 shares out as `torch.chunk` does."""
    if not isinstance(parameter, DTensor):
        return slice(None)
    mesh, dimension = parameter.device_mesh, parameter.device_mesh.ndim - 1  # before it come replicas, if any
    size, place = -(-parameter.shape[0] // mesh.size(dimension)), mesh.get_local_rank(dimension)
    return slice(size * place, size * (place + 1))


def _named(model: PreTrainedModel) -> list[tuple[list[str], nn.Parameter]]:
    """The parameters, each with its names; several where it is tied."""
    found: dict[int, tuple[list[str], nn.Parameter]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), ([], parameter))[0].append(name)
    return list(found.values())


def _stored(names: list[str], parameter: Tensor, model: PreTrainedModel, files: WeightFiles) -> list[str]:
    """Names under which the files hold a parameter."""
    plain = [name.replace(".base_layer.", ".") for name in names]  # PEFT's name for a module beside an adapter
    shape = tuple(parameter.shape)
    return [own for name in plain for own in files.names_of(name, shape, prefix=model.base_model_prefix)]
