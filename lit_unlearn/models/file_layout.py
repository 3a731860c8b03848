"""How a model's files name and lay out its weights, where transformers converts them on loading."""

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    WeightTransform,
    rename_source_key,
    revert_weight_conversion,
)

from lit_unlearn.errors import InputError
from lit_unlearn.models.weight_files import WeightFiles


class FileLayout:
    """Turns a model's parameters into what its files hold: transformers' own conversion, reversed.

    Experts that are one parameter in memory are a tensor each in the files of most models; some models' names have
    another prefix there. What `from_pretrained` does to them is in transformers' conversion mapping, and only what it
    does to the names in these files is reversed.

    Args:
        shape: the whole model, which may be on the meta device.
        files: of the model.
    """

    def __init__(self, shape: PreTrainedModel, files: WeightFiles) -> None:
        self.files = files
        self._shape = shape
        cast(Any, shape)._weight_conversions = _used_conversions(shape, files)

    def stored(self, names: Sequence[str], value: Tensor) -> dict[str, Tensor]:
        """The tensors of the files that hold a parameter, by their names there, with this value of the parameter.

        Args:
            names: of the parameter in the model; several where it is tied.
            value: as it is in the model; it may be on the meta device.

        Raises:
            InputError: the files do not hold it, or hold something else in the same tensor.
        """
        found: dict[str, Tensor] = {}
        for name in names:
            for stored, tensor in self._reverted(name, value).items():
                found |= dict.fromkeys(self._names(name, stored, tensor), tensor)
        if not found:
            raise not_as_in_memory(self.files, names[0])
        return found

    def _names(self, name: str, stored: str, tensor: Tensor) -> list[str]:
        """Names in the files of a tensor, which may lack the model's prefix there."""
        try:
            return self.files.names_of(stored, tuple(tensor.shape), prefix=self._shape.base_model_prefix)
        except InputError as error:
            if stored == name:
                raise
            raise not_as_in_memory(self.files, name) from error  # that tensor holds other parameters as well

    def _reverted(self, name: str, value: Tensor) -> dict[str, Tensor]:
        """What transformers' reversed conversion makes of one parameter."""
        try:
            reverted: dict[str, Tensor] = revert_weight_conversion(self._shape, {name: value})
        except (ValueError, KeyError, RuntimeError, AttributeError, NotImplementedError) as error:
            raise not_as_in_memory(self.files, name) from error
        return reverted


def not_as_in_memory(files: WeightFiles, name: str) -> InputError:
    """The refusal of a model whose files hold a parameter in a way that cannot be written."""
    load = f"AutoModelForCausalLM.from_pretrained({files.pretrained!r})"
    return InputError(
        f"model.pretrained: the files of {files.pretrained!r} hold {name} in another layout than in memory, "
        f"and it cannot be written there; save the model once as it is in memory, `{load}.save_pretrained(FOLDER, "
        "save_original_format=False)`, its tokenizer beside it, and set model.pretrained to FOLDER"
    )


def _used_conversions(shape: PreTrainedModel, files: WeightFiles) -> list[WeightTransform]:
    """Those of transformers' conversions for this model that change a name in the files, as `from_pretrained` finds."""
    conversions: list[WeightTransform] = get_model_conversion_mapping(shape)
    renamings = [one for one in conversions if isinstance(one, WeightRenaming)]
    converters = [one for one in conversions if isinstance(one, WeightConverter)]
    state = shape.state_dict()
    for name in files.places:
        rename_source_key(name, renamings, converters, shape.base_model_prefix, state)
    return [one for one in conversions if one.was_used()]
