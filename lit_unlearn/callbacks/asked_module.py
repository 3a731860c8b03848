"""What a callback that runs the model asks of the module: the model itself and where it comes from."""

import lightning as L
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource, source_of
from lit_unlearn.modules.pretrained import PretrainedModule


def named_source(callback: L.Callback, module: L.LightningModule) -> ModelSource:
    """Where the module's model and its tokenizer come from.

    Raises:
        InputError: the module does not say.
    """
    source = source_of(module)
    if source is None:
        raise InputError(
            f"{type(callback).__name__}: {type(module).__name__} names no `pretrained` model; remove the callback"
        )
    return source


def held_model(callback: L.Callback, module: L.LightningModule) -> PreTrainedModel:
    """The model that the module trains or evaluates; a module of the user's own has it as `updated`.

    Raises:
        InputError: it has none.
    """
    model = module.updated if isinstance(module, PretrainedModule) else getattr(module, "updated", None)
    if not isinstance(model, PreTrainedModel):
        raise InputError(
            f"{type(callback).__name__}: {type(module).__name__} holds no `updated` model of transformers; remove the "
            "callback"
        )
    return model
