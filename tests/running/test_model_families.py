"""Every class of transformers for causal language modelling runs in part as in whole, or is refused in one line."""

import re
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.models.layers import decoder_layers, decoder_of
from lit_unlearn.running.partial_forward import logit_lens, run_layers
from tests.causal_models import CONFIGS, own_logits, small_config, small_model, text_rows

NOT_RUN = frozenset(
    [
        "AXK1Config",
        "BailingHybridConfig",
        "BambaConfig",
        "BeamConfig",
        "BltConfig",
        "CohereCompassTextConfig",
        "DbrxConfig",
        "DeepseekV2Config",
        "DeepseekV32Config",
        "DeepseekV3Config",
        "Dots1Config",
        "Dots3NoteConfig",
        "Dots3NoteTextConfig",
        "Gemma3nConfig",
        "Gemma4AssistantConfig",
        "Gemma4UnifiedAssistantConfig",
        "GraniteMoeHybridConfig",
        "Lfm2MoeConfig",
        "Mamba2Config",
        "MusicgenConfig",
        "MusicgenMelodyConfig",
        "Qwen4ExpConfig",
        "Qwen4ExpTextConfig",
        "XmodConfig",
        "ZayaConfig",
    ]
)
"""Configurations of which no small model runs on text alone; a new one is to be looked at before it is added."""
REFUSED = frozenset(
    [
        "BertConfig",
        "BertGenerationConfig",
        "BigBirdConfig",
        "CamembertConfig",
        "CpmAntConfig",
        "Data2VecTextConfig",
        "DeepseekV4Config",
        "ElectraConfig",
        "ErnieConfig",
        "Gemma3nTextConfig",
        "GitConfig",
        "HYV4Config",
        "HrmTextConfig",
        "MegatronBertConfig",
        "MllamaConfig",
        "ProphetNetConfig",
        "ReformerConfig",
        "RemBertConfig",
        "RoCBertConfig",
        "RoFormerConfig",
        "RobertaConfig",
        "RobertaPreLayerNormConfig",
        "XLMConfig",
        "XLMRobertaConfig",
        "XLMRobertaXLConfig",
        "XLNetConfig",
    ]
)
"""Refused: lists of layers that are not found (encoders), several streams, layers that do not run on text, positions
that count from the padding token's id."""
REFUSALS = re.compile(
    r"\w+: no list of decoder layers found; set model\.decoder_layers to one of \[.*\]|"
    r"model\.pretrained: hidden states of this model are .*; choose another model|"
    r"model\.decoder_layers: a layer of this list ran 0 times .*; name another list, or choose another model|"
    r"model\.pretrained: \w+ counts positions from its padding token's id, .*; choose another model"
)

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 160,
    "pad_token_id": 0,
}


def check_runs_in_part(model: PreTrainedModel, name: str | None = None) -> None:
    """Logits computed from final states, with and without a prefix, are the model's own; so is what a layer returns."""
    layers, batch, whole = decoder_layers(model, name), text_rows(), own_logits(model)
    real = batch["attention_mask"].nonzero(as_tuple=True)
    run: Any = lambda **options: run_layers(model, layers, batch, layer=1, start=1, **options)  # noqa: E731
    with torch.no_grad():
        outputs, prefix = run(needs_logits=True, resumed=True)
        resumed, _ = run(needs_logits=True, prefix=prefix)
        alone, _ = run(needs_logits=False)
        *_, last = logit_lens(model, layers, batch)
        for logits in (outputs.logits, resumed.logits):
            assert logits.shape == whole.shape
            torch.testing.assert_close(logits[real], whole[real], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(alone.hidden[real], outputs.hidden[real])
    assert last.shape == whole[:, -1].shape


def gemma3_multimodal() -> PreTrainedModel:
    vision: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    vision |= {"image_size": 16, "patch_size": 4}
    config = transformers.Gemma3Config(text_config=COMMON, vision_config=vision, mm_tokens_per_image=4)
    return built(config)


def built(config: transformers.PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    return model.requires_grad_(False)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("FalconH1Config", marks=pytest.mark.slow),  # 20 s
        *("Llama4TextConfig", "MistralConfig", "Qwen3Config", "GPT2Config"),
    ],
)
def test_a_family_runs_in_part_as_in_whole(config: str) -> None:
    check_runs_in_part(built(small_config(CONFIGS[config])))


def test_the_text_model_of_a_multimodal_one_runs_in_part_as_in_whole() -> None:
    model = gemma3_multimodal()
    check_runs_in_part(model)
    assert type(decoder_of(model, decoder_layers(model))).__name__ == "Gemma3TextModel"


def test_the_decoder_owns_the_list_of_layers_whatever_the_model_calls_its_decoder() -> None:
    model = built(small_config(CONFIGS["Llama4TextConfig"]))
    assert model.get_decoder() is model
    check_runs_in_part(model, "model.layers")
    assert decoder_of(model, decoder_layers(model, "model.layers")) is model.model


def test_an_encoder_runs_where_its_list_is_named() -> None:
    check_runs_in_part(built(small_config(CONFIGS["BertConfig"])), "bert.encoder.layer")


def test_states_of_several_streams_are_refused_at_the_first_forward() -> None:
    options: dict[str, Any] = {
        "num_kv_shared_layers": 0,
        "layer_types": ["full_attention"] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
    }
    more: dict[str, Any] = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 160, "laurel_rank": 4}
    model = built(transformers.Gemma3nTextConfig(**COMMON, **options, **more))
    expected = r"^model\.pretrained: hidden states of this model are \[4, 3, \d+, 32\], and only models with states "
    with pytest.raises(InputError, match=expected + r"\[batch, seq, dim\] are supported, .*; choose another model$"):
        run_layers(model, decoder_layers(model), text_rows(), layer=1, needs_logits=False, start=0)


def test_layers_that_run_several_times_are_refused() -> None:
    model = built(small_config(CONFIGS["HrmTextConfig"]))
    with pytest.raises(
        InputError, match=r"^model\.decoder_layers: a layer of this list ran \d+ times .*another model$"
    ):
        check_runs_in_part(model, "model.L_module.layers")


def test_positions_from_the_padding_tokens_id_are_refused() -> None:
    model = built(small_config(CONFIGS["RobertaConfig"]))
    with pytest.raises(InputError, match=r"^model\.pretrained: RobertaForCausalLM counts positions from its padding"):
        decoder_layers(model, "roberta.encoder.layer")


@pytest.mark.slow
@pytest.mark.parametrize("config", sorted(CONFIGS))
def test_every_class_of_causal_models_runs_in_part_as_in_whole_or_is_refused(config: str) -> None:
    model = small_model(config)
    if isinstance(model, str):
        assert config in NOT_RUN, model
        pytest.skip(model)
    if config not in REFUSED:
        check_runs_in_part(model)
        return
    with pytest.raises(InputError) as refusal:
        check_runs_in_part(model)
    assert REFUSALS.fullmatch(str(refusal.value))


def test_the_list_of_those_that_are_not_run_does_not_grow() -> None:
    assert len(NOT_RUN) <= 25
    assert len(REFUSED) <= 26
