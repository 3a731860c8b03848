import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers, first_trained_layer, trained_above
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable, default_trainable, use_master_weights
from tests.families import FAMILIES, LAYERS, write_family

LISTS = {"gpt_neox": "gpt_neox.layers", "gpt2": "transformer.h"}
OUTPUTS = {"gpt_neox": "mlp.dense_4h_to_h", "gpt2": "mlp.c_proj"}


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PreTrainedModel]:
    folder = write_family(tmp_path_factory.mktemp("family"), request.param)
    return request.param, loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.fixture
def model() -> PreTrainedModel:
    config = MistralConfig(
        vocab_size=16,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
    )
    built: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return built


@pytest.fixture
def folder(world: Path, tmp_path: Path) -> Path:
    """A copy of the demo's model, to be damaged."""
    return shutil.copytree(world / "model", tmp_path / "model")


def output_name(family: str, layer: int) -> str:
    return f"{LISTS.get(family, 'model.layers')}.{layer}.{OUTPUTS.get(family, 'mlp.down_proj')}.weight"


def trainable(model: PreTrainedModel) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_model_is_loaded_in_the_given_dtype_in_eval_mode_with_nothing_trainable(
    world: Path, dtype: torch.dtype
) -> None:
    model = loading.load_model(ModelSource(str(world / "model")), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert not model.training
    assert trainable(model) == []


def test_a_model_has_the_weights_of_its_folder(world: Path) -> None:
    model = loading.load_model(ModelSource(str(world / "model")), torch.float32)
    stored = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32).state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_the_configuration_is_read_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert loading.load_config(ModelSource(str(folder))).num_hidden_layers == 10


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    for load in (
        lambda: loading.load_config(ModelSource(missing)),
        lambda: loading.load_model(ModelSource(missing), torch.float32),
    ):
        with pytest.raises(InputError, match=rf"^model\.pretrained: '{re.escape(missing)}' cannot be loaded .* give a"):
            load()


@pytest.mark.parametrize("name", ["", "nobody/nothing"])
def test_a_name_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"^model\.pretrained: '{name}' cannot be loaded"):
        loading.load_config(ModelSource(name))


@pytest.mark.parametrize("text", ["", "{", "{}", '{"model_type": "no_such_family"}'])
def test_a_configuration_that_cannot_be_read_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_config(ModelSource(str(folder)))


def test_a_model_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "t5"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded .*safetensors"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_weights_that_were_cut_off_are_refused(folder: Path, share: float) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("change", [{"intermediate_size": 96}, {"num_hidden_layers": 12}])
def test_weights_that_do_not_fill_the_configured_model_are_refused(folder: Path, change: dict[str, int]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: "):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("implementation", ["no_such", "flash_attention_3"])
def test_attention_that_is_not_there_is_refused(world: Path, implementation: str) -> None:
    with pytest.raises(InputError):
        loading.load_model(ModelSource(str(world / "model"), attn_implementation=implementation), torch.float32)


def test_the_decoder_layers_are_found(family: tuple[str, PreTrainedModel]) -> None:
    name, model = family
    layers = decoder_layers(model)
    assert layers is model.get_submodule(LISTS.get(name, "model.layers"))
    assert len(layers) == LAYERS


def test_the_decoder_layers_are_taken_by_name(family: tuple[str, PreTrainedModel]) -> None:
    name, model = family
    assert decoder_layers(model, LISTS.get(name, "model.layers")) is decoder_layers(model)


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


@pytest.mark.parametrize(("layer", "trained"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (4, [2, 3, 4])])
def test_by_default_the_mlp_outputs_of_three_layers_are_trained(
    family: tuple[str, PreTrainedModel], layer: int, trained: list[int]
) -> None:
    name, model = family
    found = default_trainable(model, decoder_layers(model), layer)
    assert found == [output_name(name, index) for index in trained]


def test_the_mlp_output_maps_the_inner_width_to_the_hidden_one(family: tuple[str, PreTrainedModel]) -> None:
    _, model = family
    for name in default_trainable(model, decoder_layers(model), 2):
        output = model.get_submodule(name.removesuffix(".weight"))
        inner = 4 * 32 if name.startswith("transformer") else 48
        assert output(torch.zeros(1, inner)).shape == (1, 32)


def test_an_mlp_output_that_is_not_found_can_be_chosen_as_the_message_says(model: PreTrainedModel) -> None:
    layers = decoder_layers(model)
    layers[1].mlp = nn.ModuleDict({"outward": nn.Linear(12, 8)})
    with pytest.raises(
        InputError, match=r"layer 1's MLP output projection is not found; set model\.trainable"
    ) as error:
        default_trainable(model, layers, 2)
    assert "mlp.outward.weight" in str(error.value)
    suggested = str(error.value).split("'")[2].replace("NAME", r"mlp\.outward\.weight")
    assert choose_trainable(model, [suggested]) == ["model.layers.1.mlp.outward.weight"]


def test_exactly_what_matches_is_trainable(model: PreTrainedModel) -> None:
    chosen = choose_trainable(model, [r"model\.layers\.[12]\.mlp\.up_proj\.weight", r"lm_head\.weight"])
    assert chosen == ["model.layers.1.mlp.up_proj.weight", "model.layers.2.mlp.up_proj.weight", "lm_head.weight"]
    assert trainable(model) == chosen


def test_names_come_in_the_models_order_and_once(model: PreTrainedModel) -> None:
    patterns = [r"lm_head\.weight", r".*\.1\.mlp\.down_proj\.weight", r"model\.layers\.[01]\.mlp\.down_proj\.weight"]
    expected = ["model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight", "lm_head.weight"]
    assert choose_trainable(model, patterns) == expected


def test_a_later_choice_replaces_an_earlier_one(model: PreTrainedModel) -> None:
    choose_trainable(model, [r".*"])
    assert len(trainable(model)) == len(list(model.parameters()))
    choose_trainable(model, [r"lm_head\.weight"])
    assert trainable(model) == ["lm_head.weight"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"model\.layers\.1\.mlp\.down_proj",
        r"layers\.1\.mlp\.down_proj\.weight",
        r"down_proj",
        r"model\.layers\.1\.mlp\.down_proj\.weight\.",
        "",
    ],
)
def test_a_pattern_that_matches_part_of_a_name_is_refused(model: PreTrainedModel, pattern: str) -> None:
    with pytest.raises(
        InputError, match=r"^model\.trainable: .* matches the whole name of no parameter; nearest names"
    ):
        choose_trainable(model, [r"lm_head\.weight", pattern])


def test_a_refused_pattern_changes_nothing(model: PreTrainedModel) -> None:
    choose_trainable(model, [r"lm_head\.weight"])
    with pytest.raises(InputError):
        choose_trainable(model, [r"model\.norm\.weight", "no_such"])
    assert trainable(model) == ["lm_head.weight"]


def test_layer_1_is_not_layer_10(world: Path) -> None:
    loaded = loading.load_model(ModelSource(str(world / "model")), torch.float32)
    names = [name for name, _ in loaded.named_parameters()]
    pattern = re.escape("model.layers.1.mlp.down_proj.weight")
    assert choose_trainable(loaded, [pattern]) == [name for name in names if ".1.mlp.down_proj" in name]


def test_a_near_miss_is_answered_with_the_name_meant(model: PreTrainedModel) -> None:
    with pytest.raises(InputError, match=r"nearest names: .*'model\.layers\.2\.mlp\.down_proj\.weight'"):
        choose_trainable(model, [r"model\.layers\.2\.mlp\.downproj\.weight"])


@pytest.mark.parametrize("pattern", ["(", "*.mlp", "[a-"])
def test_a_pattern_that_is_no_regular_expression_is_refused(model: PreTrainedModel, pattern: str) -> None:
    with pytest.raises(InputError, match=rf"^model\.trainable: '{re.escape(pattern)}' is not a regular expression"):
        choose_trainable(model, [pattern])


def test_parameters_are_picked_by_name_wherever_they_stand_in_a_layer(family: tuple[str, PreTrainedModel]) -> None:
    name, model = family
    patterns = [rf".*\.{index}\.{re.escape(OUTPUTS.get(name, 'mlp.down_proj'))}\.weight" for index in range(3)]
    assert choose_trainable(model, patterns) == [output_name(name, index) for index in range(3)]
    assert trainable(model) == [output_name(name, index) for index in range(3)]


def test_the_published_index_is_another_parameter_in_most_families(tmp_path: Path) -> None:
    layer = decoder_layers(loading.load_model(ModelSource(str(write_family(tmp_path, "qwen2"))), torch.float32))[0]
    assert [name for name, _ in layer.named_parameters()][6] != "mlp.down_proj.weight"


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


def test_master_weights_are_the_trained_ones_in_float32_and_change_no_value(world: Path) -> None:
    loaded = loading.load_model(ModelSource(str(world / "model")), torch.bfloat16)
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    chosen = choose_trainable(loaded, [r"model\.layers\.[567]\.mlp\.down_proj\.weight"])
    use_master_weights(loaded)
    for name, value in loaded.state_dict().items():
        assert value.dtype == (torch.float32 if name in chosen else torch.bfloat16)
        assert torch.equal(value.to(torch.bfloat16), before[name])
    assert trainable(loaded) == chosen


def test_master_weights_keep_steps_that_bfloat16_rounds_away(world: Path) -> None:
    moved = {}
    for master in (False, True):
        loaded = loading.load_model(ModelSource(str(world / "model")), torch.bfloat16)
        name = choose_trainable(loaded, [r"model\.layers\.7\.mlp\.down_proj\.weight"])[0]
        if master:
            use_master_weights(loaded)
        parameter = loaded.get_parameter(name)
        large = parameter.detach().abs() > 2**-4
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(5e-5)
        moved[master] = bool((parameter != before)[large].any())
    assert moved == {False: False, True: True}
