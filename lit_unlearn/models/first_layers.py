"""The first layers of a model alone in memory: what no loss, question or callback reads is not loaded."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from lit_unlearn.errors import InputError


class NotLoaded(nn.Module):
    """Stands where a module of the model is that is not in memory; the first layers run without it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses, so that the output of the first layers is not taken for that of the whole model.

        Raises:
            InputError: always.
        """
        del args, kwargs
        raise InputError(
            "model: only the layers up to the steering layer are loaded, since no loss, no question and no callback of "
            "this run is known to read logits; set model.whole_model to true, or, if it is a callback of your own that "
            "reads them, `needs_logits = True` in its class"
        )


class FirstLayers(NamedTuple):
    """Which part of a model is loaded: all but the layers above one and an output head of its own.

    Layers keep their indices, and the configuration stays that of the whole model: a layer computes what it does there,
    also where that depends on the number of layers.
    """

    model_class: type[PreTrainedModel]
    config: PretrainedConfig
    layer: int
    """Index of the last layer that is loaded."""
    layers: str
    """Dotted name of the list of decoder layers in the model."""
    tied: bool
    """The output head shares its weight with another module, so that it takes no memory of its own."""

    @classmethod
    def of(cls, model: PreTrainedModel, layers: nn.ModuleList, layer: int) -> "FirstLayers":
        """The part of this model, whose weights may be on the meta device.

        Args:
            model: a causal language model.
            layers: its decoder layers.
            layer: index of the last layer that is loaded.
        """
        path = next(name for name, module in model.named_modules() if module is layers)
        head = model.get_output_embeddings()
        owners = [id(weight) for _, weight in model.named_parameters(remove_duplicate=False)]
        tied = head is not None and any(owners.count(id(weight)) > 1 for weight in head.parameters())
        return cls(type(model), model.config, layer, path, tied)

    def leave_out(self, model: PreTrainedModel) -> None:
        """Replaces what is not of this part by `NotLoaded`, in a model whose weights are not loaded yet."""
        layers = model.get_submodule(self.layers)
        assert isinstance(layers, nn.ModuleList)
        for index in range(self.layer + 1, len(layers)):
            layers[index] = NotLoaded()
        if not self.tied and model.get_output_embeddings() is not None:
            model.set_output_embeddings(NotLoaded())
        # Or transformers would report every weight that is left out.
        ignored = model._keys_to_ignore_on_load_unexpected or ()
        model._keys_to_ignore_on_load_unexpected = {*ignored, *_patterns(model)}

    def from_pretrained(self, pretrained: str, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        """As that of transformers, with `output_loading_info`; the checkpoint's other weights are not read."""
        whole = self.model_class

        def initialise(model: PreTrainedModel, *args: Any, **kwargs: Any) -> None:
            whole.__init__(model, *args, **kwargs)
            self.leave_out(model)

        part: Any = type(whole.__name__, (whole,), {"__module__": whole.__module__, "__init__": initialise})
        model, loaded = part.from_pretrained(pretrained, config=self.config, **options)
        model.__class__ = whole  # a copy of it is not initialised again
        return model, loaded


def is_partial(model: nn.Module) -> bool:
    """Whether only the first layers of a model are loaded."""
    return any(isinstance(module, NotLoaded) for module in model.modules())


def _patterns(model: PreTrainedModel) -> Iterator[str]:
    """Regular expressions for the names in a checkpoint, with or without the model's prefix, of what is left out."""
    for name, module in model.named_modules():
        if isinstance(module, NotLoaded):
            yield rf"(^|\.){re.escape(name.removeprefix(f'{model.base_model_prefix}.'))}\."
