import pytest
from torch import nn
from transformers import PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.layers import decoder_layers, first_trained_layer, trained_above
from lit_unlearn.models.trainable import choose_trainable
from tests.families import LAYER_LISTS, LAYERS


def test_the_decoder_layers_are_found(family: tuple[str, PreTrainedModel]) -> None:
    name, model = family
    layers = decoder_layers(model)
    assert layers is model.get_submodule(LAYER_LISTS[name])
    assert len(layers) == LAYERS


def test_the_decoder_layers_are_taken_by_name(family: tuple[str, PreTrainedModel]) -> None:
    name, model = family
    assert decoder_layers(model, LAYER_LISTS[name]) is decoder_layers(model)


@pytest.mark.parametrize("name", ["model.blocks", "model", "layers", ""])
def test_a_name_that_is_no_list_of_layers_is_refused_with_those_there_are(model: PreTrainedModel, name: str) -> None:
    with pytest.raises(
        InputError, match=rf"is named '{name}'; set model\.decoder_layers to one of \['model\.layers'\]"
    ):
        decoder_layers(model, name)


def test_layers_that_are_not_found_can_be_named(model: PreTrainedModel) -> None:
    model.model.stages = model.model.layers
    del model.model.layers
    with pytest.raises(
        InputError, match=r"^MistralForCausalLM: .* found; set model\.decoder_layers to one of (.*)$"
    ) as error:
        decoder_layers(model)
    assert "['model.stages']" in str(error.value)
    assert decoder_layers(model, "model.stages") is model.model.stages


def test_an_empty_list_of_layers_is_refused(model: PreTrainedModel) -> None:
    model.model.layers = nn.ModuleList()
    with pytest.raises(InputError, match=r"set model\.decoder_layers"):
        decoder_layers(model)


@pytest.mark.parametrize(
    ("patterns", "first"),
    [
        ([r"model\.layers\.2\.mlp\.down_proj\.weight"], 2),
        ([r"model\.layers\.[13]\.mlp\.down_proj\.weight"], 1),
        ([r"model\.layers\.3\..*"], 3),
        ([r"model\.embed_tokens\.weight"], 0),
        ([r"lm_head\.weight", r"model\.layers\.3\..*"], 0),
    ],
)
def test_the_first_trained_layer_is_the_first_whose_output_can_change(
    model: PreTrainedModel, patterns: list[str], first: int
) -> None:
    choose_trainable(model, patterns)
    assert first_trained_layer(model, decoder_layers(model)) == first


def test_trained_above_names_what_lies_above_a_layer(model: PreTrainedModel) -> None:
    chosen = choose_trainable(model, [r"model\.layers\.[123]\.mlp\.down_proj\.weight"])
    layers = decoder_layers(model)
    assert [trained_above(model, layers, layer) for layer in range(4)] == [chosen, chosen[1:], chosen[2:], []]


def test_trained_above_names_nothing_that_is_not_trained(model: PreTrainedModel) -> None:
    choose_trainable(model, [r"model\.layers\.0\..*", r"model\.embed_tokens\.weight"])
    assert trained_above(model, decoder_layers(model), 0) == []
