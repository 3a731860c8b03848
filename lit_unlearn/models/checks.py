"""Whether options fit the model."""

from collections.abc import Sequence

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Loss
from lit_unlearn.models.first_layers import is_partial
from lit_unlearn.models.layers import first_trained_layer, trained_above
from lit_unlearn.models.lora import Lora, adapted, check_installed


def check_training(trainable: Sequence[str] | None, lora: Lora | None, attention_dropout: float) -> None:
    """Checks that what is trained is given in one way, with what that needs, and that the dropout is a rate.

    Raises:
        InputError: an option is out of range, or two exclude each other.
    """
    if lora is not None:
        if trainable is not None:
            raise InputError(
                "model.lora: model.trainable says what is trained as well; set one of the two to null (LoRA's modules "
                "are model.lora.target_modules)"
            )
        check_installed()
    if not 0 <= attention_dropout < 1:
        raise InputError(f"model.attention_dropout: {attention_dropout} is not a rate; give 0 or more, below 1")


def check_layers(config: PretrainedConfig, **indices: int) -> None:
    """Checks that each index is one of the model's layers.

    Raises:
        InputError: an index is out of range.
    """
    count = config.get_text_config().num_hidden_layers
    for name, index in indices.items():
        if not 0 <= index < count:
            raise InputError(f"model.{name}: {index} is out of range; the model has layers 0 to {count - 1}")


def check_loaded(model: nn.Module, *, whole: bool) -> None:
    """A model that is loaded has the layers that its use takes.

    Raises:
        InputError: it has not.
    """
    if whole and is_partial(model):
        raise InputError(
            "model.whole_model: the model was loaded without its last layers, and here they are needed; make a new "
            "module, with whole_model=True if it is used without them first"
        )


def check_vocabulary(config: PretrainedConfig, tokens: int | None) -> None:
    """The model has an embedding for every token that it may be given.

    Args:
        config: the model's.
        tokens: how many embeddings these take; None where the data does not say.

    Raises:
        InputError: it has not.
    """
    rows = config.get_text_config().vocab_size
    if tokens is not None and tokens > rows:
        raise InputError(
            f"data.tokenizer: texts take {tokens} tokens, the model has embeddings for {rows}; take the model's own "
            "tokenizer as it was trained, without added tokens, and texts without such"
        )


def check_lower_reached(updated: PreTrainedModel, layers: nn.ModuleList, losses: Sequence[Loss]) -> None:
    """Training changes the states after each of the lower layers that losses read.

    Raises:
        InputError: nothing is trained in one of them or below.
    """
    first = first_trained_layer(updated, layers)
    for loss in losses:
        if loss.lower_layers and min(loss.lower_layers) < first:
            raise InputError(
                f"model.{loss.stream}.lower_layers: {min(loss.lower_layers)} lies below layer {first}, the first that "
                f"is trained, so nothing changes there; give {first} or more, or train lower layers"
            )


def check_reached(updated: PreTrainedModel, layers: nn.ModuleList, layer: int, *, needs_logits: bool) -> None:
    """Losses on hidden states train nothing above the steering layer.

    Raises:
        InputError: something above it is trainable.
    """
    unreached = trained_above(updated, layers, layer)
    if unreached and not needs_logits:
        option = "model.lora.target_modules" if adapted(updated) else "model.trainable"
        raise InputError(
            f"{option}: {unreached[0]} lies above layer {layer}, where no loss of this run reaches it; train "
            "layers up to it only"
        )
