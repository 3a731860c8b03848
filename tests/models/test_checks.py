import pytest
from transformers import MistralConfig, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.checks import check_layers, check_reached
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.trainable import choose_trainable


@pytest.mark.parametrize("index", [0, 3])
def test_layers_that_the_model_has_pass(index: int) -> None:
    check_layers(MistralConfig(num_hidden_layers=4), layer=index, noise_layer=index)


@pytest.mark.parametrize("name", ["layer", "noise_layer"])
@pytest.mark.parametrize("index", [-1, 4, 32])
def test_a_layer_out_of_range_is_refused_with_its_name_and_the_range(name: str, index: int) -> None:
    indices = {"layer": 0, "noise_layer": 0} | {name: index}
    with pytest.raises(InputError, match=rf"^model\.{name}: {index} is out of range; the model has layers 0 to 3"):
        check_layers(MistralConfig(num_hidden_layers=4), **indices)


def test_training_up_to_the_steering_layer_passes(model: PreTrainedModel) -> None:
    choose_trainable(model, [r"model\.layers\.[012]\..*", r"model\.embed_tokens\.weight"])
    check_reached(model, decoder_layers(model), 2, needs_logits=False)


def test_training_above_the_steering_layer_is_refused(model: PreTrainedModel) -> None:
    choose_trainable(model, [r".*\.mlp\.down_proj\.weight"])
    name = r"model\.layers\.3\.mlp\.down_proj\.weight"
    with pytest.raises(InputError, match=rf"^model\.trainable: {name} lies above layer 2, .* up to it only"):
        check_reached(model, decoder_layers(model), 2, needs_logits=False)


def test_a_loss_on_logits_reaches_every_layer(model: PreTrainedModel) -> None:
    choose_trainable(model, [r".*\.mlp\.down_proj\.weight"])
    check_reached(model, decoder_layers(model), 2, needs_logits=True)


@pytest.mark.parametrize("pattern", [r"lm_head\.weight", r"model\.norm\.weight"])
def test_training_what_follows_the_layers_is_refused_without_logits(model: PreTrainedModel, pattern: str) -> None:
    choose_trainable(model, [pattern])
    with pytest.raises(InputError, match=rf"^model\.trainable: {pattern}"):
        check_reached(model, decoder_layers(model), 2, needs_logits=False)
