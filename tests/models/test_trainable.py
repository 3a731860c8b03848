import re
import shlex
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers, mlp_output_weights
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable, default_trainable, use_master_weights
from tests.families import LAYER_LISTS, write_family
from tests.hub_layouts import LAYOUTS

OUTPUTS = {"gpt_neox": "mlp.dense_4h_to_h", "gpt2": "mlp.c_proj"}


def output_name(family: str, layer: int) -> str:
    return f"{LAYER_LISTS[family]}.{layer}.{OUTPUTS.get(family, 'mlp.down_proj')}.weight"


def trainable(model: PreTrainedModel) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


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
    hint = str(error.value).partition("e.g. ")[2].replace("NAME", r"mlp\.outward\.weight")
    option, pasted = shlex.split(hint)[:2]  # as a shell reads it
    assert option == "--model.trainable"
    assert choose_trainable(model, yaml.safe_load(pasted)) == ["model.layers.1.mlp.outward.weight"]


EXPERTS = {
    "mixtral": [f"model.layers.{layer}.mlp.experts.down_proj" for layer in (0, 1)],
    "qwen2_moe": [
        f"model.layers.{layer}.mlp.{output}"
        for layer in (0, 1)
        for output in ("experts.down_proj", "shared_expert.down_proj.weight")
    ],
    "jamba": ["model.layers.0.feed_forward.down_proj.weight", "model.layers.1.feed_forward.experts.down_proj"],
    "deepseek_v3": [
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.mlp.experts.down_proj",
        "model.layers.1.mlp.shared_experts.down_proj.weight",
    ],
    "granitemoe": [f"model.layers.{layer}.block_sparse_moe.experts.down_proj" for layer in (0, 1)],
}


@pytest.mark.parametrize("family", EXPERTS)
def test_the_outputs_of_all_experts_are_trained_and_no_router(family: str) -> None:
    config, options, _ = LAYOUTS[family]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(getattr(transformers, config)(**options))
    assert default_trainable(model, decoder_layers(model), 1) == EXPERTS[family]


def test_experts_that_are_a_module_each_are_found() -> None:
    expert = nn.ModuleDict({"w1": nn.Linear(4, 8), "w2": nn.Linear(8, 4, bias=False)})
    layer = nn.ModuleDict({"moe": nn.ModuleDict({"gate": nn.Linear(4, 1), "experts": nn.ModuleList([expert])})})
    assert mlp_output_weights(layer) == ["moe.experts.0.w2.weight"]


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
