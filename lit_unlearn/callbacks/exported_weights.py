"""The weights of a model that an export writes: what was trained, and what an adapter was merged into."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.models import lora
from lit_unlearn.models.file_layout import FileLayout, not_as_in_memory
from lit_unlearn.models.weight_files import WeightFiles
from lit_unlearn.modules.unlearn import UnlearnModule


class ExportedWeight(NamedTuple):
    """A weight of the model that is not as in its files, over all processes; every one must ask for its values."""

    names: list[str]
    """Its names in the model; several where it is tied."""
    before: Callable[[], Tensor]
    """As it was loaded."""
    after: Callable[[], Tensor]
    """As it is now."""
    merged: bool
    """An adapter may have been merged into it on loading."""


def exported_weights(module: UnlearnModule) -> list[ExportedWeight]:
    """The trained weights, each once, and all others where an adapter was merged on loading.

    Of LoRA, the trained weights are those beside its adapters.
    """
    merged, adapted = module.model_source.adapter is not None, lora.adapted(module.updated)
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in named_parameters(module.updated, remove_duplicate=False):
        names[id(parameter)].append(name)
    found = [
        ExportedWeight(
            [f"{name}.weight"],
            partial(gathered_parameter, layer, "base_layer.weight"),
            partial(lora.merged_weight, layer),
            merged,
        )
        for name, layer in adapted.items()
    ]
    trained = [] if adapted else list(module.frozen.originals())
    for name in trained:
        own = names[id(module.updated.get_parameter(name))]
        if any(weight.names == own for weight in found):
            continue  # tied: both of its modules have it
        before, after = partial(module.frozen.original, name), partial(gathered_parameter, module.updated, name)
        found.append(ExportedWeight(own, before, after, merged))
    known = {name for weight in found for name in weight.names} if merged else set()
    for own in names.values() if merged else ():
        if not known & set(own) and not any(".lora_" in name or ".base_layer." in name for name in own):
            value = partial(gathered_parameter, module.updated, own[0])
            found.append(ExportedWeight(own, value, value, merged))
    return found


def check_stored(weight: ExportedWeight, layout: FileLayout) -> None:
    """The model's files hold a weight as the model had it in memory, but for what an adapter has added.

    Raises:
        InputError: they do not: transformers converts it on loading in a way that is not reversed.
    """
    before = weight.before().cpu()
    stored = layout.stored(weight.names, before)
    if not weight.merged and not all(holds(layout.files, name, value) for name, value in stored.items()):
        raise not_as_in_memory(layout.files, weight.names[0])


def holds(files: WeightFiles, name: str, value: Tensor) -> bool:
    """Whether the files hold this value, as the dtype of the model in memory shows it."""
    return torch.equal(files.read(name).to(value.dtype), value.cpu())
